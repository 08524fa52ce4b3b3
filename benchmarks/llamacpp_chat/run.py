"""`python -m benchmarks llamacpp-chat`: Manta's llama.cpp engine against llama.cpp's own server and what Python has.

In each repetition each case goes to each server, one right after the other, each started afresh for it; who is first
changes. The load runs on the same machine. `python -m benchmarks llamacpp-chat soak` looks for what is left behind
instead.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast, get_args

import msgspec

from benchmarks import results_folder
from benchmarks.errors import BenchmarkError
from benchmarks.gguf_models.random_llama import SHAPES, WEIGHT_TYPES, named_model
from benchmarks.llamacpp_chat.cases import Case, plan_cases
from benchmarks.llamacpp_chat.judge import summarise
from benchmarks.llamacpp_chat.measure import measure
from benchmarks.llamacpp_chat.settings import SAMPLING, Settings
from benchmarks.llamacpp_chat.subjects import DEFAULT, WHAT, Name, Tools, describe, running, sampling_of
from benchmarks.llamacpp_chat.text import as_text
from benchmarks.tables import number
from configs.load import default_home

Record = dict[str, Any]


def main() -> None:
    """Measure, print the tables, keep the results; Ctrl-C keeps what is measured."""
    if sys.argv[1:2] == ["soak"]:
        sys.argv = [f"{sys.argv[0]} soak", *sys.argv[2:]]
        from benchmarks.llamacpp_chat import soak  # which loads the engine

        soak.main()
        return
    arguments = parse_arguments(sys.argv[1:])
    load_before = os.getloadavg()
    records: list[Record] = []
    absent: dict[str, str] = {}
    try:
        with tempfile.TemporaryDirectory(prefix="llamacpp-chat-") as scratch:
            for record in experiment(arguments, arguments.keep_runs or Path(scratch), absent):
                records.append(record)
                print(_line(record), flush=True)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
    except BenchmarkError as exc:
        print(f"benchmarks: {exc}", file=sys.stderr)
    if not records:
        print("benchmarks: nothing was measured", file=sys.stderr)
        sys.exit(2)
    summary = summarise(records) | {"did_not_run": absent}
    text = as_text(summary)
    print(f"\n{text}")
    if not arguments.no_results:
        folder = results_folder.new_folder(arguments.out, "llamacpp-chat")
        settings = _described(arguments) | {"load_average_before": load_before}
        results_folder.fill(folder, settings, summary, records)
        (folder / "summary.md").write_text(f"{text}\n", encoding="utf-8")
        print(f"\nraw records: {folder}")


def experiment(arguments: argparse.Namespace, folder: Path, absent: dict[str, str]) -> Iterator[Record]:
    """The runs' records; a server that cannot be measured is named in `absent`, with the reason.

    Args:
        arguments: of `parse_arguments`.
        folder: for the runs' own folders.
    """
    settings = _settings(arguments)
    for repetition in range(arguments.repeats):
        for place, case in enumerate(arguments.cases):
            for name in _in_turn(arguments.subjects, repetition + place):
                if name in absent:
                    continue
                run_folder = folder / str(repetition) / case.name.replace("/", "-") / name
                try:
                    yield _run(name, case, repetition, settings, arguments, run_folder)
                except BenchmarkError as exc:
                    absent[name] = f"{case.name}, repetition {repetition + 1}: {exc}"
                    print(f"{name}: {absent[name]}", file=sys.stderr)


def _run(
    name: Name, case: Case, repetition: int, settings: Settings, arguments: argparse.Namespace, folder: Path
) -> Record:
    seed = arguments.seed + repetition
    with running(name, settings, case, arguments.tools) as server:
        measured = measure(server, case, sampling_of(name), arguments.shape.num_words, seed, folder)
        seconds_to_ready = server.seconds_to_ready
    head = {
        "subject": name,
        "case": {"name": case.name, **asdict(case)},
        "repetition": repetition,
        "seconds_to_ready": round(seconds_to_ready, 3),
    }
    fields: Record = msgspec.to_builtins(measured)
    return head | fields


def _in_turn(subjects: Sequence[Name], turn: int) -> Sequence[Name]:
    at = turn % len(subjects)
    return (*subjects[at:], *subjects[:at])


def _line(record: Record) -> str:
    doubt = f"; not certified: {record['reasons'][0]}" if record["reasons"] else ""
    failed = f"; {record['num_failed']} failed" if record["num_failed"] else ""
    return (
        f"{record['repetition'] + 1}: {record['case']['name']:<14} {record['subject']:<16}"
        f" {record['tokens_per_s']:8.1f} tokens/s, ttft p50 {number(record['ttft_ms']['p50'])} ms,"
        f" itl p95 {number(record['itl_ms']['p95'], '.1f')} ms{failed}{doubt}"
    )


# ---------------------------------------------------------------- options


def parse_arguments(words: Sequence[str]) -> argparse.Namespace:
    """The options, with `cases`, `subjects`, `shape` and `tools` made of them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="135M:Q8_0", help="SHAPE:TYPE, such as 0.5B:F16 (%(default)s)")
    parser.add_argument("--callers", type=_numbers, default=(1, 4, 16, 32), help="(1,4,16,32)")
    parser.add_argument("--prompt-tokens", type=_numbers, default=(128, 1024), help="(128,1024)")
    parser.add_argument("--output-tokens", type=int, default=128, help="of every answer (%(default)s)")
    parser.add_argument("--requests", type=int, default=3, help="of each caller (%(default)s)")
    parser.add_argument("--min-requests", type=int, default=12, help="of all callers (%(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="of everything (%(default)s)")
    parser.add_argument("--no-shared", action="store_true", help="leave the shared beginnings out")
    parser.add_argument("--only-shared", action="store_true", help="and nothing else")
    parser.add_argument("--only", type=lambda text: tuple(text.split(",")), default=DEFAULT, help="servers")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of llama.cpp (all cores)")
    parser.add_argument("--step-tokens", type=int, help="of one step of Manta's engine (its default)")
    parser.add_argument("--llama-server", type=Path, default=Tools().llama_server, help="(%(default)s)")
    parser.add_argument("--server-extras", type=Path, default=Tools().server_extras, help="(%(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="parent of the results")
    parser.add_argument("--no-results", action="store_true", help="only print")
    parser.add_argument("--keep-runs", type=Path, help="keep each run's own folder here (large)")
    arguments = parser.parse_args(words)
    _check(parser, arguments)
    return arguments


def _check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    shape, _, weight_type = arguments.model.partition(":")
    if shape not in SHAPES or weight_type not in WEIGHT_TYPES:
        parser.error(f"--model is one of {', '.join(SHAPES)}, a colon, and one of {', '.join(WEIGHT_TYPES)}")
    arguments.shape = SHAPES[shape]
    known = get_args(Name)
    unknown = [name for name in arguments.only if name not in known]
    if unknown:
        parser.error(f"no server {unknown[0]!r}; there are: {', '.join(known)}")
    arguments.subjects = cast("tuple[Name, ...]", arguments.only)
    arguments.tools = Tools(arguments.llama_server, arguments.server_extras)
    least = (arguments.output_tokens, arguments.requests, arguments.min_requests, arguments.repeats)
    if min((*least, *arguments.callers, arguments.threads)) < 1 or min(arguments.prompt_tokens) < 2:
        parser.error("counts are above 0, and a prompt has at least 2 tokens")
    arguments.cases = plan_cases(
        () if arguments.only_shared else arguments.callers,
        arguments.prompt_tokens,
        arguments.output_tokens,
        requests_per_caller=arguments.requests,
        min_requests=arguments.min_requests,
        with_shared=arguments.only_shared or not arguments.no_shared,
    )
    for case in arguments.cases:
        if case.context_tokens > arguments.shape.context_tokens:
            parser.error(
                f"{case.name} needs a context of {case.context_tokens} tokens; "
                f"{shape} has {arguments.shape.context_tokens}"
            )


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split(","))


def _settings(arguments: argparse.Namespace) -> Settings:
    folder = default_home() / "benchmarks"
    gguf = named_model(folder, arguments.model)
    return Settings(gguf, arguments.threads, arguments.step_tokens)


def _described(arguments: argparse.Namespace) -> dict[str, Any]:
    """What was asked for, without the paths of a machine."""
    settings = Settings(Path("MODEL.gguf"), arguments.threads, arguments.step_tokens)
    tools = Tools(Path("llama-server"), Path("extras"))
    names = ("model", "threads", "step_tokens", "requests", "min_requests", "repeats", "seed")
    first: Case = arguments.cases[0]
    return {
        **{name: getattr(arguments, name) for name in names},
        "cases": [case.name for case in arguments.cases],
        "sampling": SAMPLING,
        "servers": {
            name: {"what": WHAT[name], "started_as": _portable(describe(name, settings, first, tools))}
            for name in arguments.subjects
        },
    }


def _portable(said: list[str] | dict[str, object]) -> list[str] | dict[str, object]:
    if isinstance(said, dict):
        return said
    return ["python" if word == sys.executable else word for word in said]
