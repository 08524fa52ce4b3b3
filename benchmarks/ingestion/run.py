"""`python -m benchmarks ingestion`: documents a second end to end, against the embedder alone on the same texts.

The documents are files of one passage each, so that a document is a text. Measured beside each other in every
repetition: the embedder in process with lists of 64; one text and one request at a time, as the guides do it; and
the ingestion with 1 and more workers, while all of them work: between the first and the last fifth of the documents.
What it takes until then (a Ray, the workers, their models) is told apart, and so is the rate from the plan to the end.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import results_folder
from benchmarks.embeddings.cases import Case
from benchmarks.embeddings.texts import KindOfTexts
from benchmarks.embeddings.worker_side import WorkerSide, worker
from benchmarks.errors import BenchmarkError
from benchmarks.ingestion.figures import EMBEDDER, ONE_BY_ONE, pipeline, steady_rate, summarise
from benchmarks.tables import number, table
from configs.load import default_home

_ROOT = Path(__file__).resolve().parents[2]
_LIST = Case(1, 64)
_SINGLE = Case(1, 1)
_SOURCE = "documents"

Record = dict[str, Any]


def main() -> None:
    """Measure, print the table, keep the results; Ctrl-C keeps what is measured."""
    arguments = _arguments()
    records: list[Record] = []
    try:
        with tempfile.TemporaryDirectory(prefix="manta-bench-") as folder, ExitStack() as stack:
            texts = _texts(arguments.documents, arguments.words, arguments.seed)
            documents = _write(Path(folder) / _SOURCE, texts)
            embedder = stack.enter_context(worker(EMBEDDER, _engine_command(arguments)))
            embedder.take_texts({"short": KindOfTexts(texts, embedder.count(texts))})
            try:
                for record in _runs(arguments, embedder, documents, len(texts)):
                    records.append(record)
                    print(_line(record), flush=True)
            except KeyboardInterrupt:
                print("interrupted", file=sys.stderr)
    except BenchmarkError as exc:
        print(f"benchmarks: {exc}", file=sys.stderr)
        sys.exit(2)
    if not records:
        print("benchmarks: nothing was measured", file=sys.stderr)
        sys.exit(2)
    summary = summarise(records, arguments.workers, is_paced=arguments.mock_ms > 0)
    print(f"\n{_text(summary)}")
    if not arguments.no_results:
        settings = {name: str(value) for name, value in vars(arguments).items() if name != "out"}
        folder_ = results_folder.new_folder(arguments.out, "ingestion")
        results_folder.fill(folder_, settings, summary, records)
        print(f"\nraw records: {folder_}")


def _runs(arguments: argparse.Namespace, embedder: WorkerSide, documents: Path, num: int) -> Iterator[Record]:
    """A record a side and repetition; which side is first changes."""
    sides: list[tuple[str, Callable[[], Record]]] = [
        (EMBEDDER, lambda: _embed(embedder, _LIST, arguments.seconds)),
        (ONE_BY_ONE, lambda: _embed(embedder, _SINGLE, arguments.seconds)),
    ]
    sides += [(pipeline(one), partial(_ingest, arguments, documents, num, one)) for one in arguments.workers]
    for repetition in range(arguments.repetitions):
        turn = repetition % len(sides)
        for name, run in (*sides[turn:], *sides[:turn]):
            yield {"side": name, "repetition": repetition, **run()}


def _embed(embedder: WorkerSide, case: Case, seconds: float) -> Record:
    done = embedder.run("short", case, seconds)
    return {"documents_per_s": round(done["num_texts"] / done["seconds"], 3), "seconds": done["seconds"]}


def _ingest(arguments: argparse.Namespace, documents: Path, num: int, num_workers: int) -> Record:
    """A fresh base, ingested by the command that users type."""
    with tempfile.TemporaryDirectory(prefix="manta-bench-") as folder:
        home = Path(folder)
        (home / "models").symlink_to(default_home() / "models", target_is_directory=True)
        profile = _profile(arguments, home)
        command = [sys.executable, "-m", "serve_app.retrieval.ingest", str(documents)]
        command += ["--profile", str(profile), "--address", "local", "--workers", str(num_workers)]
        command += ["--source", _SOURCE, "--dead-letters", str(home / "dead-letters.jsonl")]
        command += ["--tell-every", "0"]
        began_s = time.perf_counter()
        with (home / "errors").open("wb") as errors:
            process = subprocess.Popen(  # noqa: S603 (our own command)
                command, cwd=_ROOT, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        planned_s, told, report = _follow(process)
        if report is None or process.returncode:
            raise BenchmarkError(f"the ingestion failed: {(home / 'errors').read_text()[-300:]}")
    rate = steady_rate(told)
    if report["num_added"] != num or planned_s is None or rate is None:
        raise BenchmarkError(
            f"{report['num_added']} of {num} documents were ingested, in {len(told)} parts: too few to say how fast"
        )
    seconds = told[-1][0] - planned_s
    return {
        "documents_per_s": round(rate, 3),
        "seconds": round(seconds, 3),
        "whole_documents_per_s": round(num / seconds, 3),
        "plan_s": round(planned_s - began_s, 3),
        "first_s": round(told[0][0] - planned_s, 3),
        "num_chunks": report["num_chunks"],
    }


def _follow(
    process: subprocess.Popen[str],
) -> tuple[float | None, list[tuple[float, int]], Record | None]:
    """When the plan stood, when how many documents were stored, and what was done."""
    planned_s = report = None
    told: list[tuple[float, int]] = []
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            if line.endswith("documents are wanted\n"):
                planned_s = time.perf_counter()
            elif line.startswith(f"{_SOURCE}: "):
                num_stored = line.removeprefix(f"{_SOURCE}: ").partition(" of ")[0]
                told.append((time.perf_counter(), int(num_stored.replace(",", ""))))
            elif line.startswith("{"):
                report = json.loads(line)
    process.wait()
    return planned_s, told, report


def _profile(arguments: argparse.Namespace, home: Path) -> Path:
    """A profile whose embedder is the one that is measured alone."""
    args = {
        "home": str(home),
        "models": [{"name": "extractive", "engine": "extractive"}],
        "embedder": _embedder(arguments),
        "knowledge": {"store": {"kind": "lancedb"}},
        "agent": {"name": "manta", "models": ["extractive"]},
    }
    document = {"applications": [{"name": "manta", "import_path": "serve_app.app:build", "args": args}]}
    path = home / "profile.json"
    path.write_text(json.dumps(document), encoding="utf-8")  # JSON is YAML
    return path


def _embedder(arguments: argparse.Namespace) -> dict[str, Any]:
    if arguments.mock_ms > 0:
        return {"name": "embedder", "engine": "mock", "dim": 384, "ms_per_text": arguments.mock_ms}
    return {
        "name": "embedder",
        "engine": arguments.engine,
        "weights": {"catalogue": "all-minilm-l6-v2"},
        "num_threads": arguments.threads,
    }


def _engine_command(arguments: argparse.Namespace) -> list[str]:
    module = "benchmarks.embeddings.workers.manta_engine"
    config = json.dumps(_embedder(arguments))
    return [sys.executable, "-m", module, config, "--threads", str(arguments.threads)]


def _texts(num: int, num_words: int, seed: int) -> list[str]:
    rng = random.Random(seed)  # noqa: S311 (no secret)
    words = [
        "reef",
        "ray",
        "glides",
        "water",
        "tide",
        "current",
        "plankton",
        "coral",
        "cleans",
        "deep",
        "light",
    ]
    return [
        " ".join((f"document {index}", *(rng.choice(words) for _ in range(num_words))))
        for index in range(num)
    ]


def _write(folder: Path, texts: Sequence[str]) -> Path:
    folder.mkdir()
    for index, text in enumerate(texts):
        (folder / f"{index:07}.txt").write_text(text, encoding="utf-8")
    return folder


def _line(record: Mapping[str, Any]) -> str:
    return f"{record['side']:24} {record['documents_per_s']:10.1f} documents/s in {record['seconds']:.1f} s"


def _text(summary: Mapping[str, Any]) -> str:
    rates = [[name, number(rate, ",.1f")] for name, rate in summary["documents_per_s"].items()]
    ratios = [[name, number(value, ".3f")] for name, value in summary["ratios"].items()]
    bars = [
        [one["bar"], f"{one['value']:.3f}", f"{one['limit']:g}", "yes" if one["is_met"] else "no"]
        for one in summary["verdicts"]
    ]
    parts = [table(["side", "documents/s"], rates), table(["ratio", "value"], ratios)]
    return "\n\n".join([*parts, *([table(["bar", "value", "limit", "met"], bars)] if bars else [])])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--documents", type=int, default=2000, help="(%(default)s)")
    add("--words", type=int, default=80, help="of a document (%(default)s)")
    add("--workers", nargs="+", type=int, default=[1, 2, 4], help="(%(default)s)")
    add("--engine", choices=["auto", "llamacpp", "onnx"], default="llamacpp", help="(%(default)s)")
    add("--threads", type=int, default=1, help="of each engine (%(default)s)")
    add("--mock-ms", type=float, default=0.0, help="take the mock embedder, with so many ms a text")
    add("--seconds", type=float, default=10.0, help="of the embedder alone (%(default)s)")
    add("--repetitions", type=int, default=3, help="(%(default)s)")
    add("--seed", type=int, default=0, help="of the texts (%(default)s)")
    add("--out", type=Path, default=Path("benchmarks/results"), help="folder of the results (%(default)s)")
    add("--no-results", action="store_true", help="keep nothing")
    return parser.parse_args()
