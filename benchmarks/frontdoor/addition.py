"""What the door adds: each setting started afresh, beside the application without a door, run by run in turn."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.application import CannotStart
from benchmarks.frontdoor.measure import Load, Subject, measure
from benchmarks.frontdoor.pairs import by_turns, compared
from benchmarks.frontdoor.settings import PACE, TENANT, Setting, plain
from benchmarks.frontdoor.started import Open, SharedRedis, opened
from benchmarks.overhead.pace import Pace

WITHOUT = "plain"
PLACES = ("step", "store", "num_callers", "kind")


def experiment(
    settings: Sequence[Setting],
    loads: Sequence[Load],
    num_pairs: int,
    repetitions: int,
    seed: int,
    redis: SharedRedis | None,
    folder: Path,
    absent: list[str],
) -> Iterator[dict[str, Any]]:
    """A record of each run; a setting that does not start is named in `absent`."""
    seeds = itertools.count(seed)  # no question is asked twice of one application, or the cache would have it
    for repetition in range(repetitions):
        turn = repetition % len(settings)
        place = folder / f"repetition-{repetition}"
        with opened(plain(), place / WITHOUT) as without:
            for setting in (*settings[turn:], *settings[:turn]):
                platform = setting.platform({} if redis is None else redis.fresh())
                head = {"step": setting.step, "store": setting.store, "repetition": repetition}
                try:
                    with opened(platform, place / setting.name, [TENANT]) as door:
                        for run in _beside(without, door, loads, num_pairs, seeds, place / setting.name):
                            yield head | run
                except CannotStart as exc:  # on a busy machine Ray gives up; what is measured is kept
                    absent.append(f"{setting.name} in repetition {repetition + 1}: {exc}")
                    print(f"did not start: {absent[-1]}", file=sys.stderr)


def _beside(
    without: Open,
    door: Open,
    loads: Sequence[Load],
    num_pairs: int,
    seeds: Iterator[int],
    folder: Path,
) -> Iterator[dict[str, Any]]:
    subjects: dict[str, Subject] = {WITHOUT: without.subject(), "door": door.subject(TENANT)}
    yield from turns(subjects, loads, PACE, num_pairs, seeds, folder)


def turns(
    subjects: Mapping[str, Subject],
    loads: Sequence[Load],
    pace: Pace,
    num_pairs: int,
    seeds: Iterator[int],
    folder: Path,
) -> Iterator[dict[str, Any]]:
    """Both subjects under each load, one after the other, asked the same in a pair; a record of each run."""
    without, having = subjects
    for load in loads:
        seed_of = [next(seeds) for _ in range(num_pairs)]
        for pair, side in by_turns(without, having, num_pairs):
            place = folder / f"{load.num_callers}-{load.kind}-{pair}-{side}"
            measured = measure(subjects[side], load, pace, seed_of[pair], place)
            head = {"num_callers": load.num_callers, "kind": load.kind, "pair": pair, "side": side}
            fields: dict[str, Any] = msgspec.to_builtins(measured)
            yield head | fields


def summarise(records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row for each step, store, number of callers and kind of answer."""
    return compared(records, PLACES, WITHOUT)
