"""What the door may cost and how exact it has to be, and whether it is. Pure, from the figures of runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

# With key, limits, guards and a cache miss, at the median.
ADDED_MS = {"embedded": 1.0, "redis": 2.0}
ADDED_STEP = "miss"
ADDED_CALLERS = 32
ADMITTED_WITHIN = 0.02
SHARES_WITHIN = 0.05

Verdict = dict[str, Any]


def added(rows: Iterable[Mapping[str, Any]]) -> list[Verdict]:
    """Of the whole door, for streams and documents."""
    return [
        _verdict(
            f"{row['store']}: key, limits, guards and a cache miss add at most {ADDED_MS[row['store']]:g} ms "
            f"at the median, {row['kind']}, {ADDED_CALLERS} callers",
            row["added_p50_ms"],
            is_met=row["added_p50_ms"] <= ADDED_MS[row["store"]],
            each=[one <= ADDED_MS[row["store"]] for one in row["added_each_ms"]],
        )
        for row in rows
        if row["step"] == ADDED_STEP and row["num_callers"] == ADDED_CALLERS
    ]


def admitted(rows: Iterable[Mapping[str, Any]]) -> list[Verdict]:
    """Of each limit that was loaded."""
    return [
        _verdict(
            f"{row['limit']}: admitted within {ADMITTED_WITHIN:.0%} of what is allowed",
            row["off"],
            is_met=abs(row["off"]) <= ADMITTED_WITHIN,
        )
        for row in rows
    ]


def shares(rows: Iterable[Mapping[str, Any]]) -> list[Verdict]:
    """Of all tenants together: the worst of them counts."""
    offs = [row["off"] for row in rows]
    if not offs:
        return []
    worst = max(offs, key=abs)
    what = f"every tenant's share within {SHARES_WITHIN:.0%} of its due"
    return [_verdict(what, worst, is_met=abs(worst) <= SHARES_WITHIN)]


def _verdict(what: str, value: float, *, is_met: bool, each: Iterable[bool] = ()) -> Verdict:
    found = list(each)
    of_each = {"num_met": sum(found), "num": len(found)} if found else {}
    return {"what": what, "value": value, "is_met": is_met} | of_each
