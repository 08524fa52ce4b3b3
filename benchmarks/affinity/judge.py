"""From the jobs' figures to a table: what the one side has, and what the other has of it. Pure.

Ratios are taken within each pair of jobs before the median, so that a drift of the machine is on both sides of each.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.tables import number, table

PLAIN = "none"
Record = Mapping[str, Any]
_RATIOS: Mapping[str, Callable[[Record], float | None]] = {
    "output_tokens_per_s": lambda one: one["output_tokens_per_s"],
    "ttft_p50": lambda one: one["ttft_ms"]["p50"],
    "ttft_p95": lambda one: one["ttft_ms"]["p95"],
    "e2e_p95": lambda one: one["e2e_ms"]["p95"],
}


def summarise(records: Sequence[Record]) -> dict[str, Any]:
    """A row for each case and kind of affinity: medians over the repetitions, and ratios to the same case without."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        groups.setdefault((record["case"]["name"], record["affinity"]), []).append(record)
    rows = []
    for (case, affinity), found in groups.items():
        plain = {one["repetition"]: one for one in groups.get((case, PLAIN), ())}
        rows.append(_row(case, affinity, found, {} if affinity == PLAIN else plain))
    return {"rows": rows, "num_not_certified": sum(bool(record["reasons"]) for record in records)}


def _row(case: str, affinity: str, found: Sequence[Record], plain: Mapping[int, Record]) -> dict[str, Any]:
    ratios = {}
    for name, of in _RATIOS.items():
        pairs = [(of(one), of(plain[one["repetition"]])) for one in found if one["repetition"] in plain]
        values = [round(ours / theirs, 4) for ours, theirs in pairs if ours is not None and theirs]
        if values:
            ratios[name] = {"median": round(statistics.median(values), 4), "each": values}
    medians = {name: _median([of(one) for one in found]) for name, of in _RATIOS.items()}
    return {
        "case": case,
        "affinity": affinity,
        "num_jobs": len(found),
        "num_failed": sum(one["num_failed"] for one in found),
        "cached_share": _median([one["cached_share"] for one in found]),
        **medians,
        "ratios": ratios,
    }


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(statistics.median(known), 4) if known else None


def as_text(summary: Mapping[str, Any]) -> str:
    """The table, with what there is to doubt below it."""
    headings = (
        *(
            "what is asked",
            "affinity",
            "of prompts cached",
            "output tokens/s",
            "ttft p50, ms",
            "ttft p95, ms",
        ),
        *("tokens/s, ratio (lowest to highest)", "ttft p50, ratio", "ttft p95, ratio"),
    )
    rows = [
        (
            *(row["case"], row["affinity"], number(row["cached_share"], ".0%")),
            *(number(row["output_tokens_per_s"]), number(row["ttft_p50"]), number(row["ttft_p95"])),
            *(_spread(row["ratios"].get(name)) for name in ("output_tokens_per_s", "ttft_p50", "ttft_p95")),
        )
        for row in summary["rows"]
    ]
    lines = [table(headings, rows)]
    if failed := sum(row["num_failed"] for row in summary["rows"]):
        lines.append(f"{failed} requests had no answer")
    if summary["num_not_certified"]:
        lines.append(
            f"{summary['num_not_certified']} jobs where the client's own figures may not be believed"
        )
    return "\n\n".join(lines)


def _spread(ratio: Mapping[str, Any] | None) -> str:
    if ratio is None:
        return number(None)
    return f"{ratio['median']:.2f} ({min(ratio['each']):.2f} to {max(ratio['each']):.2f})"
