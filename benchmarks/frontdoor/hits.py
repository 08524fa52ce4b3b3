"""How fast an answer comes that is not computed: of the same question, and of one of the same meaning."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.application import CannotStart
from benchmarks.frontdoor.measure import Load, Measured, measure
from benchmarks.frontdoor.settings import PACE, TENANT, Store, with_hits
from benchmarks.frontdoor.started import Open, SharedRedis, opened

# One pair of tests/data/semantic_cache whose cosine is 0.99: the time is measured, and not the finding.
KEPT, ASKED = "Is the museum open at Christmas?", "At Christmas, is the museum open?"
_FIRST = Load(num_callers=1, is_stream=True, duration_s=1.5, warm_up_s=0.0)
_BY_MEANING = ("x-manta-cache", "semantic")


def experiment(
    stores: Sequence[Store],
    loads: Sequence[Load],
    seed: int,
    redis: SharedRedis | None,
    folder: Path,
    absent: list[str],
) -> Iterator[dict[str, Any]]:
    """A record of each run; a store whose application does not start is named in `absent`."""
    kept, asked = _file(folder, "kept", KEPT), _file(folder, "asked", ASKED)
    seeds = itertools.count(seed)
    for store in stores:
        platform = with_hits(store, {} if redis is None else redis.fresh())
        try:
            with opened(platform, folder / store, [TENANT]) as door:
                for load in loads:
                    for kind, text in (("exact", kept), ("semantic", asked)):
                        measured = _run(door, load, kind, kept, text, seeds, folder / store)
                        fields: dict[str, Any] = msgspec.to_builtins(measured)
                        yield {
                            "store": store,
                            "hit": kind,
                            "num_callers": load.num_callers,
                            "kind": load.kind,
                        } | fields
        except CannotStart as exc:
            absent.append(f"hits, {store}: {exc}")
            print(f"did not start: {absent[-1]}", file=sys.stderr)


def _run(
    door: Open, load: Load, kind: str, kept: Path, text: Path, seeds: Iterator[int], folder: Path
) -> Measured:
    """The answer is computed once, by a run before; then everybody gets that one."""
    subject = door.subject(TENANT, *([_BY_MEANING] if kind == "semantic" else []))
    place = folder / f"{load.num_callers}-{load.kind}-{kind}"
    first = Load(1, load.is_stream, _FIRST.duration_s, 0.0)
    measure(subject, first, PACE, next(seeds), place / "first", kept, is_computed=False)
    return measure(subject, load, PACE, next(seeds), place, text, is_computed=False)


def summarise(records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row for each run, with how many answers took as long as the model takes: no hits, or a queue."""
    names = ("store", "hit", "num_callers", "kind", "answer_ms", "whole_ms", "requests_per_s", "num_failed")
    return [
        {name: record[name] for name in names}
        | {
            "num": len(record["raw"]["answer_us"]),
            "num_computed": sum(us >= PACE.ttft_ms * 1e3 for us in record["raw"]["answer_us"]),
        }
        for record in records
    ]


def _file(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.txt"
    path.write_text(text + "\n", encoding="utf-8")
    return path
