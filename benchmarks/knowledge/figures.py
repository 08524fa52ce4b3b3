"""What the runs say: percentiles, ratios within a repetition, and the bars. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

CASES = ("knn", "filtered", "hybrid")
PAIRS = {"manta-opensearch": "plain-opensearch", "manta-lancedb": "plain-lancedb"}
MAX_P50_RATIO = 1.15  # at one caller
MIN_RATE_RATIO = 0.9  # queries/s at 32 callers
MIN_FILTERED_RECALL = 0.99

Record = Mapping[str, Any]


def figures_of(times_ms: Sequence[float], seconds: float) -> dict[str, float]:
    """p50, p95 and p99 in milliseconds, and queries a second."""
    ordered = sorted(times_ms)

    def at(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3)

    return {
        "num": len(ordered),
        "p50_ms": at(0.5),
        "p95_ms": at(0.95),
        "p99_ms": at(0.99),
        "per_s": round(len(ordered) / seconds, 1),
    }


def summarise(records: Sequence[Record], sides: Mapping[str, Any]) -> dict[str, Any]:
    """Medians of each side, case and number of callers; ratios to the plain client; verdicts.

    Args:
        records: side, case, num_callers, repetition, and `figures_of`.
        sides: side -> load_s, resync_s, recall by case, resident_mb, disk_mb.
    """
    groups: dict[tuple[str, str, int], dict[int, Record]] = {}
    for one in records:
        key = (one["side"], one["case"], one["num_callers"])
        groups.setdefault(key, {})[one["repetition"]] = one
    medians = {
        f"{side} {case} {num_callers}": {
            name: round(statistics.median(one[name] for one in each.values()), 3)
            for name in ("p50_ms", "p95_ms", "p99_ms", "per_s")
        }
        for (side, case, num_callers), each in groups.items()
    }
    ratios: dict[str, Any] = {}
    for (side, case, num_callers), each in groups.items():
        beside = groups.get((PAIRS.get(side, ""), case, num_callers))
        if beside is not None:
            ratios[f"{side} {case} {num_callers}"] = {
                name: _ratio(each, beside, name) for name in ("p50_ms", "per_s")
            }
    return {"sides": dict(sides), "medians": medians, "ratios": ratios, "verdicts": _verdicts(ratios, sides)}


def _ratio(own: Mapping[int, Record], other: Mapping[int, Record], name: str) -> float | None:
    """Median over the repetitions that both have; None where there are none."""
    each = [own[number][name] / other[number][name] for number in own.keys() & other.keys()]
    return round(statistics.median(each), 4) if each else None


def _verdicts(ratios: Mapping[str, Any], sides: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = []
    for name, ratio in ratios.items():
        if name.endswith(" 1") and ratio["p50_ms"] is not None:
            found.append(_verdict(f"{name}: p50", ratio["p50_ms"], ratio["p50_ms"] <= MAX_P50_RATIO))
        elif not name.endswith(" 1") and ratio["per_s"] is not None:
            found.append(_verdict(f"{name}: queries/s", ratio["per_s"], ratio["per_s"] >= MIN_RATE_RATIO))
    for side, facts in sides.items():
        value = facts.get("recall", {}).get("filtered")
        if side in PAIRS and value is not None:
            found.append(_verdict(f"{side}: filtered recall@10", value, value >= MIN_FILTERED_RECALL))
    return found


def _verdict(bar: str, value: float, is_met: bool) -> dict[str, Any]:  # noqa: FBT001
    return {"bar": bar, "value": value, "is_met": is_met}
