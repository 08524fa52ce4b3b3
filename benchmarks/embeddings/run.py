"""`python -m benchmarks embeddings`: tokens/s of Manta's embedders and of what people use instead.

All sides are started once. In each repetition every side runs every case, one side after the other (which is first
changes), so that a drift of the machine meets all. Ratios are taken within a repetition.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import results_folder
from benchmarks.embeddings.bars import summarise
from benchmarks.embeddings.cases import CASES, Case
from benchmarks.embeddings.sides import MODEL, Running, Setup, Side, all_sides, counting
from benchmarks.embeddings.text import as_text
from benchmarks.embeddings.texts import KINDS, Kind, KindOfTexts, prepare_texts
from benchmarks.errors import BenchmarkError
from configs.load import default_home

Record = dict[str, Any]

_NUM_COMPARED = 24  # texts whose vectors are compared
# Flash attention and a small ubatch: what makes llama.cpp itself fast at this. As many slots as there are callers.
_LLAMA_SERVER_FLAGS = "--flash-attn on --ctx-size 8192 --parallel 32 --batch-size 2048 --ubatch-size 256"
_REFERENCES = ("sentence-transformers", "onnxruntime", "manta-onnx")  # in F32, the first that runs


def main() -> None:
    """Measure, print the tables, keep the results; Ctrl-C keeps what is measured."""
    arguments = _arguments()
    settings = {name: str(value) for name, value in vars(arguments).items() if name not in _PLACES}
    settings |= {"load_average_before": str(os.getloadavg())}
    try:
        summary, records, facts = _measure(arguments)
    except BenchmarkError as exc:
        print(f"benchmarks: {exc}", file=sys.stderr)
        sys.exit(2)
    if not records:
        print("benchmarks: nothing was measured", file=sys.stderr)
        sys.exit(2)
    print(f"\n{as_text(summary)}")
    if not arguments.no_results:
        folder = results_folder.new_folder(arguments.out, "embeddings")
        results_folder.fill(folder, settings | {"sides": facts}, summary, records)
        print(f"\nraw records: {folder}")


def _measure(arguments: argparse.Namespace) -> tuple[dict[str, Any], list[Record], dict[str, Any]]:
    setup = _setup(arguments)
    sides = [side for side in all_sides(setup) if not arguments.sides or side.name in arguments.sides]
    with counting(setup) as counter:
        texts = prepare_texts(arguments.texts, arguments.num_texts, arguments.seed, counter.count)
    absent = {side.name: side.why_not for side in sides if side.why_not is not None}
    records: list[Record] = []
    cosines: Mapping[str, float | None] = {}
    facts: dict[str, Any] = {kind: round(given.mean_tokens, 1) for kind, given in texts.items()}
    with ExitStack() as stack:
        running = _start([side for side in sides if side.why_not is None], stack, texts, absent)
        facts |= {side.name: started.facts for side, started in running}
        try:
            cosines = _cosines(running, texts)
            for record in _experiment(running, arguments, absent):
                records.append(record)
                print(_line(record), flush=True)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
    return summarise(records, cosines) | {"did_not_run": absent}, records, facts


def _start(
    sides: Sequence[Side], stack: ExitStack, texts: Mapping[Kind, KindOfTexts], absent: dict[str, str]
) -> list[tuple[Side, Running]]:
    """Those that start; the others are named in `absent`."""
    running = []
    for side in sides:
        try:
            started = stack.enter_context(side.open())
        except BenchmarkError as exc:
            absent[side.name] = str(exc)
            continue
        started.take_texts(texts)
        running.append((side, started))
    return running


def _experiment(
    running: Sequence[tuple[Side, Running]], arguments: argparse.Namespace, absent: dict[str, str]
) -> Iterator[Record]:
    """The runs' records; a side that fails is named in `absent`, and not asked again."""
    for repetition in range(-1, arguments.repetitions):  # the one below 0 warms up, and is not kept
        seconds = arguments.seconds if repetition >= 0 else min(1.0, arguments.seconds)
        turn = max(0, repetition) % len(running)
        order = (*running[turn:], *running[:turn])
        for kind, case in itertools.product(arguments.kinds, arguments.cases):
            for side, started in order:
                if side.name in absent or (side.cases is not None and case not in side.cases):
                    continue
                try:
                    measured = started.run(kind, case, seconds)
                except BenchmarkError as exc:
                    absent[side.name] = f"{kind} {case}: {exc}"
                    continue
                if repetition >= 0:
                    yield _record(side, kind, case, repetition, measured)


def _record(side: Side, kind: Kind, case: Case, repetition: int, measured: Mapping[str, Any]) -> Record:
    return {
        "side": side.name,
        "kind": kind,
        "case": str(case),
        "repetition": repetition,
        "tokens_per_s": round(measured["num_tokens"] / measured["seconds"], 1),
        **measured,
    }


def _cosines(
    running: Sequence[tuple[Side, Running]], texts: Mapping[Kind, KindOfTexts]
) -> dict[str, float | None]:
    """Side -> the least cosine of its vectors to those of the first reference that runs."""
    compared = texts["mixed"].texts[:_NUM_COMPARED]
    found = {side.name: np.asarray(started.vectors(compared)) for side, started in running}
    reference = next((found[name] for name in _REFERENCES if name in found), None)
    if reference is None:
        return dict.fromkeys(found)
    return {name: round(_least_cosine(vectors, reference), 6) for name, vectors in found.items()}


def _least_cosine(vectors: np.typing.NDArray[np.float64], other: np.typing.NDArray[np.float64]) -> float:
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(other, axis=1)
    return float((np.sum(vectors * other, axis=1) / lengths).min())


def _line(record: Record) -> str:
    return (
        f"{record['repetition'] + 1} {record['kind']:5} {record['case']:6} {record['side']:22} "
        f"{record['tokens_per_s']:10,.0f} tokens/s"
    )


def _setup(arguments: argparse.Namespace) -> Setup:
    found = sorted((default_home() / "models").glob(f"{MODEL}.*.gguf"))
    return Setup(
        num_threads=arguments.threads,
        gguf=arguments.gguf or (found[0] if found else None),
        llama_server=arguments.llama_server,
        llama_server_flags=shlex.split(arguments.llama_server_flags),
        peer_python=arguments.peer_python,
        sentence_transformers=arguments.sentence_transformers,
        onnx_folder=arguments.onnx_model,
        api_url=arguments.url,
        api_model=arguments.api_model,
    )


# Options that say where something is on one machine: no part of the results.
_PLACES = {
    "out", "texts", "gguf", "llama_server", "peer_python", "onnx_model", "url", "no_results", "sentence_transformers",
}  # fmt: skip


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--repetitions", type=int, default=3, help="of everything (%(default)s)")
    add("--seconds", type=float, default=4.0, help="of each run (%(default)s)")
    add("--threads", type=int, default=os.cpu_count(), help="of every engine (%(default)s)")
    add("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="of texts (all)")
    add("--cases", nargs="+", type=Case.parse, default=list(CASES), help="callers x texts a call (all)")
    add("--sides", nargs="+", default=[], help="by name (all that can run)")
    add("--texts", type=Path, help="a folder in BEIR's layout (texts are made up)")
    add("--num-texts", type=int, default=256, help="of each kind (%(default)s)")
    add("--seed", type=int, default=0, help="of the texts (%(default)s)")
    add("--gguf", type=Path, help="the model of the peers on llama.cpp (the file that Manta's engine has)")
    add("--llama-server", type=Path, help="llama.cpp's server, built")
    add("--llama-server-flags", default=_LLAMA_SERVER_FLAGS, help="(%(default)s)")
    add("--peer-python", type=Path, help="an interpreter that has sentence-transformers")
    add(
        "--sentence-transformers",
        default=f"sentence-transformers/{MODEL}",
        help="the model's folder or name (%(default)s)",
    )
    add("--onnx-model", type=Path, help="a folder with an exported encoder and its tokenizer.json")
    add("--url", help="of an application that runs: its API is measured too")
    add("--api-model", default=MODEL, help="what its embedder is called (%(default)s)")
    add("--out", type=Path, default=Path("benchmarks/results"), help="folder of the results (%(default)s)")
    add("--no-results", action="store_true", help="keep nothing")
    return parser.parse_args()
