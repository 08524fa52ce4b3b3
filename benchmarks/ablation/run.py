"""`python -m benchmarks ablation`: what answers are worth without a gate, with it, and with the web besides.

Questions whose passages have a known fault (missing, a neighbour's, contradicting, with an instruction, out of date)
go to three applications that differ in nothing else. By default their models are the scripted one, which is easily
misled, and whose judge compares facts word by word: then the figures are about the pipeline. With `--profile` they
are a profile's own models, real ones for example.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.progress import track

from benchmarks import results_folder
from benchmarks.ablation.arms import ARMS, platform
from benchmarks.ablation.figures import as_text, judged, summarise
from benchmarks.ablation.questions import Material, Question, make
from benchmarks.application import application, write_profile
from benchmarks.errors import BenchmarkError
from benchmarks.scripted_model.application import external_models, ingest, scripted_model, write_pages
from configs.load import ProfileError, read_profile

_EMBEDDER_OF = Path("configs/local.yaml")
_TIMEOUT_S = 300.0


def main() -> None:
    """Run, print the table, keep the records."""
    arguments = _arguments()
    material = make(arguments.questions, arguments.seed)
    try:
        with _base(arguments) as base, tempfile.TemporaryDirectory(prefix="manta-ablation-") as folder:
            judge = arguments.judge or base["agent"].get("judge")
            records = [
                record
                for arm in arguments.arms
                for record in _ask_arm(arm, base, judge, material, Path(folder))
            ]
    except (BenchmarkError, ProfileError, httpx.HTTPError) as exc:
        print(f"benchmarks: {exc.__class__.__name__}: {exc}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    summary = summarise(records)
    settings = {
        "models": base["agent"]["models"],
        "judge": judge,
        "profile": None if arguments.profile is None else arguments.profile.name,
        "questions_of_each_kind": arguments.questions,
        "seed": arguments.seed,
    }
    place = results_folder.new_folder(arguments.out, "ablation")
    results_folder.fill(place, settings, summary, records)
    print(f"{as_text(summary)}\n\nraw records: {place}")


@contextmanager
def _base(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The arguments that all arms share."""
    if arguments.profile is not None:
        yield read_profile(arguments.profile).platform.model_dump(mode="json", exclude_unset=True)
        return
    embedder = read_profile(_EMBEDDER_OF).platform.embedder.model_dump(mode="json", exclude_unset=True)
    with scripted_model(0.0, 0.0) as url:
        yield {
            "models": external_models(url),
            "embedder": embedder,
            "knowledge": {"store": {"kind": "lancedb"}},
            "agent": {"name": "manta", "models": ["writer"], "judge": "judge"},
        }


def _ask_arm(
    arm: str, base: Mapping[str, Any], judge: str | None, material: Material, folder: Path
) -> Iterator[dict[str, Any]]:
    """One record a question."""
    web = write_pages(folder / "pages.json", material.pages)
    profile = write_profile(folder / f"{arm}.yaml", platform(arm, base, judge, web))
    with (
        application(None, profile) as url,
        httpx.Client(base_url=url, timeout=_TIMEOUT_S, trust_env=False) as http,
    ):
        for kind, documents in material.documents.items():
            ingest(http, _tenant(kind), documents)
        for question in track(material.questions, arm, console=Console(stderr=True)):
            yield {"arm": arm, **_ask(http, question)}


def _ask(http: httpx.Client, question: Question) -> dict[str, Any]:
    headers = {"x-manta-tenant": _tenant(question.kind), "x-request-timeout-s": str(_TIMEOUT_S)}
    response = http.post("/v1/agent/answers", json={"question": question.text}, headers=headers)
    record = asdict(question) | {"status": response.status_code}
    if response.status_code != 200:
        return record | {"error": response.text[:500]}
    final = response.json()
    kept = {key: final[key] for key in ("text", "outcome", "flags", "usage", "model")}
    states = [state["state"] for state in final["run"]]
    return record | kept | {"states": states} | judged(question, final)


def _tenant(kind: str) -> str:
    return f"ablation-{kind}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--profile", type=Path, help="whose models answer and judge; the scripted model by default")
    add("--judge", help="chat model of the profile that judges; its agent's own by default")
    add("--arms", type=_arms, default=ARMS, help=f"of {', '.join(ARMS)}; all by default")
    add("--questions", type=int, default=30, help="of each kind (%(default)s)")
    add("--seed", type=int, default=1, help="of names and values (%(default)s)")
    add("--out", type=Path, default=Path("benchmarks/results"), help="for the folder")
    arguments = parser.parse_args()
    if arguments.questions < 1:
        parser.error("there is at least one question of each kind")
    return arguments


def _arms(text: str) -> tuple[str, ...]:
    arms = tuple(text.split(","))
    if unknown := set(arms) - set(ARMS):
        raise argparse.ArgumentTypeError(f"there is no arm {', '.join(sorted(unknown))}")
    return arms
