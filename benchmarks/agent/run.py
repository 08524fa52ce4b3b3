"""`python -m benchmarks agent`: the pipeline's own time, model calls by path, and the time to the first event.

An application is started whose models are the scripted one (external, on loopback) and whose embedder is the mock; all
else is real. Its own time is what an answer's `run` says of the states in which no model, judge or web works; beside
it stands everything between the question and the answer that was not inside a model, with HTTP and all hops.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from benchmarks import results_folder
from benchmarks.agent.figures import as_text, summarise
from benchmarks.agent.measure import TENANT, measure
from benchmarks.agent.paths import QUESTIONS, documents, pages
from benchmarks.application import application, write_profile
from benchmarks.errors import BenchmarkError
from benchmarks.scripted_model.application import external_models, ingest, scripted_model, write_pages


def main() -> None:
    """Run, print the table, keep the records; exit code 1 if a bar is missed."""
    arguments = _arguments()
    load_average = os.getloadavg()
    try:
        with _running(arguments) as (url, model_url):
            _warm_up(url, model_url)
            records: list[dict[str, Any]] = []
            for num_callers in arguments.callers:
                num = arguments.requests * len(QUESTIONS)
                records += asyncio.run(measure(url, model_url, num_callers, num))
    except (BenchmarkError, httpx.HTTPError) as exc:
        print(f"benchmarks: {exc.__class__.__name__}: {exc}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    summary = summarise(records)
    settings = {
        "callers": arguments.callers,
        "requests_of_each_path": arguments.requests,
        "ttft_ms": arguments.ttft_ms,
        "tpot_ms": arguments.tpot_ms,
        "load_average_before": load_average,
    }
    folder = results_folder.new_folder(arguments.out, "agent")
    results_folder.fill(folder, settings, summary, records)
    print(f"{as_text(summary)}\n\nraw records: {folder}")
    sys.exit(1 if any(bar["is_met"] is False for bar in summary["bars"].values()) else 0)


@contextmanager
def _running(arguments: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """(the application's URL, the scripted model's)."""
    with (
        tempfile.TemporaryDirectory(prefix="manta-agent-") as name,
        scripted_model(arguments.ttft_ms, arguments.tpot_ms) as model_url,
    ):
        folder = Path(name)
        web = write_pages(folder / "pages.json", pages())
        profile = write_profile(folder / "profile.yaml", _platform(model_url, web))
        with application(None, profile) as url:
            with httpx.Client(base_url=url, timeout=300.0, trust_env=False) as http:
                ingest(http, TENANT, documents())
            yield url, model_url


def _platform(model_url: str, web: Path) -> dict[str, Any]:
    many = {"max_ongoing_requests": 64, "max_queued_requests": 256}
    return {
        "models": external_models(model_url),
        "embedder": {"name": "embedder", "engine": "mock", "dim": 256, "scaling": many},
        "knowledge": {"store": {"kind": "lancedb"}, "scaling": many},
        "agent": {"name": "manta", "models": ["writer"], "judge": "judge", "scaling": many},
        "web_search": {"provider": {"kind": "fixture", "path": str(web)}, "modes": ["first", "replace"]},
    }


def _warm_up(url: str, model_url: str) -> None:
    """Every path a few times, which are not counted."""
    asyncio.run(measure(url, model_url, 1, 3 * len(QUESTIONS)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--callers", type=_numbers, default=(1, 32), help="at once, one after the other (1,32)")
    add("--requests", type=int, default=100, help="of each path and number of callers (%(default)s)")
    add("--ttft-ms", type=float, default=20.0, help="of the scripted model (%(default)s)")
    add("--tpot-ms", type=float, default=2.0, help="likewise, for each word (%(default)s)")
    add("--out", type=Path, default=Path("benchmarks/results"), help="for the folder")
    arguments = parser.parse_args()
    if not arguments.callers or min(arguments.callers) < 1 or arguments.requests < 1:
        parser.error("callers and requests are at least 1")
    return arguments


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(",") if part)
