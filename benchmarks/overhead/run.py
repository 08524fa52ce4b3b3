"""`python -m benchmarks overhead`: what Manta's path costs a stream, against a bare server with the same engine.

    --engine mock   a mock at a pace, and FastAPI with nothing else
    --engine vllm   a real vLLM on the CPU with a tiny model, and `vllm serve`; ray.serve.llm beside them

Each repetition starts each way afresh (which of them first changes) and measures it at each number of callers right
beside the bare server, so that a drift of the machine meets both. The load runs on the same machine.

With --slots it measures how long the engine works for clients that left instead.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import bare_vllm, results_folder
from benchmarks.errors import BenchmarkError
from benchmarks.overhead import slots
from benchmarks.overhead.bars import BARE, summarise
from benchmarks.overhead.lineup import Contender, Lineup
from benchmarks.overhead.measure import Load, Measured, Subject, measure
from benchmarks.overhead.options import parse
from benchmarks.overhead.pace import Pace
from benchmarks.overhead.text import as_text
from benchmarks.overhead.vllm_settings import VllmSettings
from benchmarks.overhead.vllm_ways import vllm_lineup
from benchmarks.overhead.ways import Way, all_ways, mock_lineup
from benchmarks.tables import number

Record = dict[str, Any]


def main() -> None:
    """Measure, print the tables, keep the results; Ctrl-C keeps what is measured."""
    arguments = parse()
    load_average = os.getloadavg()
    try:
        name, summary, records = _slots(arguments) if arguments.slots else _overhead(arguments)
    except BenchmarkError as exc:
        print(f"benchmarks: {exc}", file=sys.stderr)
        sys.exit(2)
    if not records:
        print("benchmarks: nothing was measured", file=sys.stderr)
        sys.exit(2)
    if not arguments.no_results:
        folder = results_folder.new_folder(arguments.out, name)
        settings = _settings(arguments) | {"load_average_before": load_average}
        results_folder.fill(folder, settings, summary, records)
        print(f"\nraw records: {folder}")


def _overhead(arguments: argparse.Namespace) -> tuple[str, dict[str, Any], list[Record]]:
    records: list[Record] = []
    absent: list[str] = []
    lineup = lineup_of(arguments)
    with tempfile.TemporaryDirectory(prefix="overhead-") as scratch:
        try:
            for record in experiment(lineup, arguments, arguments.keep_runs or Path(scratch), absent):
                records.append(record)
                print(_line(record), flush=True)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
    judged = [contender.name for contender in lineup.contenders if contender.has_bars]
    ways = {BARE: lineup.bare} | {contender.name: contender.what for contender in lineup.contenders}
    summary = summarise(records, judged, lineup.bars) | {"not_measured": absent, "ways": ways}
    print(f"\n{as_text(summary)}")
    return "overhead" if arguments.engine == "mock" else "overhead-vllm", summary, records


def lineup_of(arguments: argparse.Namespace) -> Lineup:
    """What the options ask to compare.

    Raises:
        BenchmarkError: a way of that name is not there, or there is no vLLM.
    """
    if arguments.engine == "mock":
        lineup = mock_lineup(_ways(arguments), Pace.of(arguments))
    else:
        device = arguments.vllm_device
        lineup = vllm_lineup(VllmSettings(arguments.vllm_python, arguments.vllm_model, device))
    return lineup.only(arguments.only)


def _ways(arguments: argparse.Namespace) -> list[Way]:
    return all_ways(arguments.replicas, via_agent=arguments.via_agent, with_defaults=arguments.with_defaults)


def _slots(arguments: argparse.Namespace) -> tuple[str, dict[str, Any], list[Record]]:
    summary: dict[str, Any] = {}
    records: list[Record] = []
    chosen = {contender.name for contender in lineup_of(arguments).contenders}
    try:
        for way in _ways(arguments):
            if not way.has_hop or way.via_agent or way.name not in chosen:
                continue
            for owner in slots.OWNERS:
                name = f"{way.name}, slot of the {owner}"
                summary[name], trials = _slots_of(name, way, owner, arguments)
                records += trials
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
    return "slots", summary, records


def _slots_of(
    name: str, way: Way, owner: str, arguments: argparse.Namespace
) -> tuple[dict[str, Any], list[Record]]:
    with way.running(slots.PACE, slots.OWNERS[owner]) as fresh:
        trials, alone_ms = asyncio.run(slots.run_trials(fresh.url, arguments.slots, arguments.seed))
    summary = slots.summarise(trials, alone_ms)
    print(f"\n{name}:\n{slots.as_text(summary)}", flush=True)
    return summary, [{"way": way.name, "owner": owner, **msgspec.to_builtins(trial)} for trial in trials]


def experiment(
    lineup: Lineup, arguments: argparse.Namespace, folder: Path, absent: list[str]
) -> Iterator[Record]:
    """The runs' records; a way that does not start, or answers nothing, is named in `absent`."""
    ways = lineup.contenders
    with lineup.bare_running() as bare:
        bare_subject = Subject(bare.url, lineup.model, bare.process_id)
        for repetition in range(arguments.repetitions):
            turn = repetition % len(ways)
            for way in (*ways[turn:], *ways[:turn]):
                try:
                    with way.running() as fresh:
                        subject = Subject(fresh.url, way.model, fresh.process_id)
                        pair = {way.name: subject, BARE: bare_subject}
                        loads = _loads(arguments, holds_length=lineup.holds_length)
                        yield from _beside(way, pair, loads, repetition, arguments, folder)
                except BenchmarkError as exc:
                    # On a busy machine Ray gives up, and other people's servers have faults: what is measured is kept.
                    absent.append(f"{way.name} in repetition {repetition + 1}: {exc}")
                    print(f"not measured: {absent[-1]}", file=sys.stderr)


def _loads(arguments: argparse.Namespace, *, holds_length: bool) -> list[Load]:
    duration_s, warm_up_s = arguments.duration, arguments.warm_up
    return [Load(num_callers, duration_s, warm_up_s, holds_length) for num_callers in arguments.callers]


def _beside(
    way: Contender,
    pair: Mapping[str, Subject],
    loads: Sequence[Load],
    repetition: int,
    arguments: argparse.Namespace,
    folder: Path,
) -> Iterator[Record]:
    """The way and the bare server, one after the other, at each number of callers."""
    for place, load in enumerate(loads):
        both = list(pair.items())
        if (repetition + place) % 2:
            both.reverse()
        for name, one in both:
            run_folder = folder / f"{repetition}-{way.name}" / f"{load.num_callers}-{name}"
            seed = arguments.seed + repetition
            measured = measure(one, load, Pace.of(arguments), seed, run_folder)
            yield _record(name, way, load.num_callers, repetition, measured)


def _record(name: str, way: Contender, num_callers: int, repetition: int, measured: Measured) -> Record:
    head = {"way": name, "beside": way.name, "num_callers": num_callers, "repetition": repetition}
    fields: Record = msgspec.to_builtins(measured)
    return head | fields


def _line(record: Record) -> str:
    ttft, itl = record["ttft_ms"], record["itl_ms"]
    doubt = f"; not certified: {record['reasons'][0]}" if record["reasons"] else ""
    return (
        f"{record['repetition'] + 1}: {record['num_callers']:>4} callers, {record['way']:<16}"
        f" {number(record['requests_per_s'], '8.1f')} requests/s, ttft p50 {number(ttft['p50'], '.1f')} ms,"
        f" itl p99 {number(itl['p99'], '.1f')} ms{doubt}"
    )


_NOT_SETTINGS = ("out", "keep_runs", "replicas", "vllm_python", "vllm_model", "vllm_device")


def _settings(arguments: argparse.Namespace) -> dict[str, Any]:
    said = {name: value for name, value in vars(arguments).items() if name not in _NOT_SETTINGS}
    if arguments.engine == "vllm":
        said["vllm"] = bare_vllm.versions(arguments.vllm_python)
        said["device"] = arguments.vllm_device
    return said | {"replicas": [str(each) for each in arguments.replicas]}
