"""`python -m benchmarks overhead`: what Manta's path costs a stream, against a bare FastAPI server.

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
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import results_folder
from benchmarks.application import CannotStart
from benchmarks.errors import BenchmarkError
from benchmarks.overhead import slots
from benchmarks.overhead.bars import summarise
from benchmarks.overhead.measure import Load, Measured, Subject, measure
from benchmarks.overhead.pace import MODEL, Pace
from benchmarks.overhead.profile import Replicas
from benchmarks.overhead.text import as_text
from benchmarks.overhead.ways import BARE, Way, all_ways, bare_running
from benchmarks.peers.tables import number

Record = dict[str, Any]


def main() -> None:
    """Measure, print the tables, keep the results; Ctrl-C keeps what is measured."""
    arguments = _arguments()
    settings = _settings(arguments) | {"load_average_before": os.getloadavg()}
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
        results_folder.fill(folder, settings, summary, records)
        print(f"\nraw records: {folder}")


def _overhead(arguments: argparse.Namespace) -> tuple[str, dict[str, Any], list[Record]]:
    records: list[Record] = []
    absent: list[str] = []
    with tempfile.TemporaryDirectory(prefix="overhead-") as scratch:
        try:
            for record in _experiment(arguments, arguments.keep_runs or Path(scratch), absent):
                records.append(record)
                print(_line(record), flush=True)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
    judged = [way.name for way in arguments.chosen if way.has_bars]
    summary = summarise(records, judged) | {"did_not_start": absent}
    print(f"\n{as_text(summary)}")
    return "overhead", summary, records


def _slots(arguments: argparse.Namespace) -> tuple[str, dict[str, Any], list[Record]]:
    summary: dict[str, Any] = {}
    records: list[Record] = []
    try:
        for way in arguments.chosen:
            if not way.has_hop or way.via_agent:
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


def _experiment(arguments: argparse.Namespace, folder: Path, absent: list[str]) -> Iterator[Record]:
    """The runs' records; a way that does not start is named in `absent`."""
    pace = Pace.of(arguments)
    ways = arguments.chosen
    with bare_running(pace) as bare:
        bare_subject = Subject(bare.url, MODEL, bare.process_id)
        for repetition in range(arguments.repetitions):
            turn = repetition % len(ways)
            for way in (*ways[turn:], *ways[:turn]):
                try:
                    with way.running(pace) as fresh:
                        subject = Subject(fresh.url, way.model, fresh.process_id)
                        yield from _beside(way, subject, bare_subject, repetition, arguments, pace, folder)
                except CannotStart as exc:  # on a busy machine Ray gives up; what is measured is kept
                    absent.append(f"{way.name} in repetition {repetition + 1}: {exc}")
                    print(f"did not start: {absent[-1]}", file=sys.stderr)


def _beside(
    way: Way,
    subject: Subject,
    bare: Subject,
    repetition: int,
    arguments: argparse.Namespace,
    pace: Pace,
    folder: Path,
) -> Iterator[Record]:
    """The way and the bare server, one after the other, at each number of callers."""
    for place, num_callers in enumerate(arguments.callers):
        load = Load(num_callers, arguments.duration, arguments.warm_up)
        both = [(way.name, subject), (BARE, bare)]
        if (repetition + place) % 2:
            both.reverse()
        for name, one in both:
            run_folder = folder / f"{repetition}-{way.name}" / f"{num_callers}-{name}"
            measured = measure(one, load, pace, arguments.seed + repetition, run_folder)
            yield _record(name, way, num_callers, repetition, measured)


def _record(name: str, way: Way, num_callers: int, repetition: int, measured: Measured) -> Record:
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


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--engine", choices=("mock",), default="mock", help="what makes the tokens")
    Pace.add_options(parser)
    parser.add_argument("--callers", type=_numbers, default=(1, 32, 128), help="closed loops (1,32,128)")
    parser.add_argument("--replicas", type=_replicas, default=(Replicas(),), help="such as 1x1,2x2,4x4 (1x1)")
    parser.add_argument("--via-agent", action="store_true", help="also ingress -> agent -> engine")
    parser.add_argument("--with-defaults", action="store_true", help="also Serve without its fast path")
    parser.add_argument(
        "--slots", type=int, metavar="N", help="measure N leavings of each kind, and nothing else"
    )
    parser.add_argument("--only", help="ways, by their names, instead of all: no-hop,channel")
    parser.add_argument("--duration", type=float, default=10.0, help="seconds of each run (%(default)s)")
    parser.add_argument("--warm-up", type=float, default=2.0, help="of these, not counted (%(default)s)")
    parser.add_argument("--repetitions", type=int, default=5, help="of everything (%(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--out", type=Path, default=Path("benchmarks/results"), help="for the results' folder"
    )
    parser.add_argument("--no-results", action="store_true", help="only print")
    parser.add_argument("--keep-runs", type=Path, help="keep each run's own folder here (large)")
    arguments = parser.parse_args()
    if not 0 <= arguments.warm_up < arguments.duration or arguments.repetitions < 1:
        parser.error("the warm-up must end before the run; repetitions must be above 0")
    arguments.chosen = _chosen(parser, arguments)
    return arguments


def _chosen(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> list[Way]:
    ways = all_ways(arguments.replicas, via_agent=arguments.via_agent, with_defaults=arguments.with_defaults)
    if arguments.only is None:
        return ways
    names = arguments.only.split(",")
    unknown = set(names) - {way.name for way in ways}
    if unknown:
        parser.error(f"no way {sorted(unknown)[0]!r}; there are: {', '.join(way.name for way in ways)}")
    return [way for way in ways if way.name in names]


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split(","))


def _replicas(text: str) -> Sequence[Replicas]:
    return tuple(Replicas.parse(word) for word in text.split(","))


def _settings(arguments: argparse.Namespace) -> dict[str, Any]:
    said = {
        name: value
        for name, value in vars(arguments).items()
        if name not in ("chosen", "out", "keep_runs", "replicas")
    }
    return said | {
        "replicas": [str(each) for each in arguments.replicas],
        "ways": {BARE: "FastAPI, no Ray"} | {way.name: way.what for way in arguments.chosen},
    }
