"""`python -m benchmarks affinity`: what it brings to keep requests together on one of a model's replicas.

Two replicas of a llama.cpp model with random weights, one core each. In each repetition the application is started
once without affinity and once with it, who is first changes, and both get the same conversations, the same questions
about a few documents, and the same prompts that have nothing in common.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import results_folder
from benchmarks.affinity.cases import CASES, CONTEXT_TOKENS, TIMEOUT_S
from benchmarks.affinity.judge import PLAIN, as_text, summarise
from benchmarks.affinity.measure import measure
from benchmarks.application import started, write_profile
from benchmarks.errors import BenchmarkError
from benchmarks.gguf_models.random_llama import named_model
from benchmarks.run.prepare import prepare
from benchmarks.target import Target
from configs.load import default_home
from configs.workload import ChatRequest, Workload

MODEL = "random"
GGUF = "135M:Q8_0"
AFFINITY = "prefix"
_MAX_ONGOING = 64


def main() -> None:
    """Measure, print the table, keep the results; Ctrl-C keeps what is measured."""
    arguments = _arguments()
    load_before = os.getloadavg()
    records: list[dict[str, Any]] = []
    try:
        for record in _experiment(arguments):
            records.append(record)
            print(_line(record), flush=True)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
    except BenchmarkError as exc:
        print(f"benchmarks: {exc}", file=sys.stderr)
    if not records:
        print("benchmarks: nothing was measured", file=sys.stderr)
        sys.exit(2)
    summary = summarise(records)
    print(f"\n{as_text(summary)}")
    settings = {
        "seed": arguments.seed,
        "repetitions": arguments.repetitions,
        "model": GGUF,
        "platform": platform(Path("MODEL.gguf"), AFFINITY, arguments.replicas),
        "cases": [case.record() for case in arguments.cases],
        "load_average_before": load_before,
    }
    folder = results_folder.new_folder(arguments.out, "affinity")
    results_folder.fill(folder, settings, summary, records)
    (folder / "summary.md").write_text(f"{as_text(summary)}\n", encoding="utf-8")
    print(f"\nraw records: {folder}")


def _experiment(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    gguf = named_model(default_home() / "benchmarks", GGUF)
    for repetition in range(arguments.repetitions):
        sides = (PLAIN, AFFINITY)
        for affinity in sides if repetition % 2 == 0 else sides[::-1]:
            with tempfile.TemporaryDirectory(prefix="manta-affinity-") as scratch:
                yield from _side(affinity, repetition, gguf, arguments, Path(scratch))


def _side(
    affinity: str, repetition: int, gguf: Path, arguments: argparse.Namespace, folder: Path
) -> Iterator[dict[str, Any]]:
    profile = write_profile(folder / "profile.yaml", platform(gguf, affinity, arguments.replicas))
    with started(profile) as application:
        seed = arguments.seed + repetition
        asks = Workload(seed=seed, requests=(ChatRequest(kind="chat"),))
        prepared = prepare(asks, Target(application.url, MODEL))
        for place, case in enumerate(arguments.cases):
            # A seed of its own: the beginnings of one case must not be in the replicas' memory from another.
            measured = measure(case, prepared, seed + 1000 * place, folder / case.name)
            head = {"case": case.record(), "affinity": affinity, "repetition": repetition}
            yield head | measured.record()


def platform(gguf: Path, affinity: str, num_replicas: int) -> dict[str, Any]:
    """The application's configuration: a model of so many replicas, and of the rest the least that there may be."""
    limits = {
        "max_ongoing_requests": _MAX_ONGOING,
        "max_queued_requests": _MAX_ONGOING,
        "max_queue_wait_s": TIMEOUT_S,
    }
    model = {
        "name": MODEL,
        "engine": "llamacpp",
        "weights": {"path": str(gguf)},
        "context_tokens": CONTEXT_TOKENS,
        "num_threads": 1,
        "affinity": affinity,
        "scaling": {"min_replicas": num_replicas, "max_replicas": num_replicas, **limits},
    }
    return {
        "ingress": {"scaling": limits, "default_deadline_s": TIMEOUT_S, "max_deadline_s": TIMEOUT_S},
        "models": [model],
        "embedder": {"name": "embedder", "engine": "mock"},
        "knowledge": {"store": {"kind": "memory"}},
        "agent": {"name": "manta", "models": [MODEL]},
    }


def _line(record: dict[str, Any]) -> str:
    return (
        f"{record['repetition'] + 1}: {record['case']['name']:14} {record['affinity']:8} "
        f"{record['output_tokens_per_s']:7.1f} tokens/s, ttft p50 {record['ttft_ms']['p50']:.0f} ms, "
        f"p95 {record['ttft_ms']['p95']:.0f} ms, {record['cached_share']:.0%} of prompts cached"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    names = tuple(case.name for case in CASES)
    add = parser.add_argument
    add("--only", type=lambda text: tuple(text.split(",")), default=names, help=",".join(names))
    add("--replicas", type=int, default=2, help="of the model, one thread each (%(default)s)")
    add("--repetitions", type=int, default=3, help="of both sides (%(default)s)")
    add("--seed", type=int, default=1, help="of prompts (%(default)s)")
    add("--out", type=Path, default=Path("benchmarks/results"), help="for the folder")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.only if name not in names]
    if unknown or min(arguments.replicas, arguments.repetitions) < 1:
        parser.error(f"--only names some of {', '.join(names)}; counts are above 0")
    arguments.cases = tuple(case for case in CASES if case.name in arguments.only)
    return arguments
