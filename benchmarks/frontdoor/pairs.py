"""Two servers beside each other: runs by turns, and what the one takes more than the other. Pure.

What is added is taken within each pair of runs before the median over the pairs, so that a drift of the machine is in
both sides of each difference.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

T = TypeVar("T")
Record = Mapping[str, Any]


def by_turns(without: T, having: T, num_pairs: int) -> Iterator[tuple[int, T]]:
    """(number of the pair, who is next): ABBAAB..., so that neither is always the first."""
    for pair in range(num_pairs):
        for one in (without, having) if pair % 2 == 0 else (having, without):
            yield pair, one


def compared(records: Iterable[Record], places: Sequence[str], without: str) -> list[dict[str, Any]]:
    """One row for each different content of the fields `places`, in the order in which they came.

    Args:
        records: of runs: the fields of `Measured`, `side`, `repetition`, `pair`, and those of `places`.
        without: the `side` that the other one is compared with.
    """
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        groups.setdefault(tuple(record[place] for place in places), []).append(record)
    rows = []
    for key, found in groups.items():
        pairs = _pairs(found, without)
        if pairs:
            rows.append(dict(zip(places, key, strict=True)) | _row(pairs))
    return rows


def _pairs(records: Iterable[Record], without: str) -> list[tuple[Record, Record]]:
    """(the run without, the run with) of each pair that was made whole."""
    sides: dict[tuple[int, int], dict[bool, Record]] = {}
    for record in records:
        number = record["repetition"], record["pair"]
        sides.setdefault(number, {})[record["side"] == without] = record
    return [(both[True], both[False]) for both in sides.values() if len(both) == 2]


def _row(pairs: Sequence[tuple[Record, Record]]) -> dict[str, Any]:
    added = {
        name: [round(other["answer_ms"][name] - plain["answer_ms"][name], 3) for plain, other in pairs]
        for name in ("p50", "p99")
    }
    runs = [run for pair in pairs for run in pair]
    return {
        "num_pairs": len(pairs),
        "num_failed": sum(run["num_failed"] for run in runs),
        "num_certified": sum(not run["reasons"] for run in runs),
        "num_runs": len(runs),
        "without_p50_ms": _median([plain["answer_ms"]["p50"] for plain, _ in pairs]),
        "with_p50_ms": _median([other["answer_ms"]["p50"] for _, other in pairs]),
        "added_p50_ms": _median(added["p50"]),
        "added_p99_ms": _median(added["p99"]),
        "added_each_ms": added["p50"],
        "without_rps": _median([plain["requests_per_s"] for plain, _ in pairs]),
        "with_rps": _median([other["requests_per_s"] for _, other in pairs]),
        "ratio": _median([other["requests_per_s"] / plain["requests_per_s"] for plain, other in pairs]),
        "without_cpu_ms": _cpu([plain for plain, _ in pairs]),
        "with_cpu_ms": _cpu([other for _, other in pairs]),
    }


def _cpu(runs: Iterable[Record]) -> float | None:
    """Milliseconds of CPU a request, of all processes of the server."""
    known = [sum(run["cpu_ms"].values()) for run in runs if run["cpu_ms"]]
    return _median(known) if known else None


def _median(values: Sequence[float]) -> float:
    return round(statistics.median(values), 4)
