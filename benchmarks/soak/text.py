"""A soak as a table for a terminal or a README."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.tables import number, table

_HEADINGS = ("process", "series", "level", "growth", "an hour", "z", "kept after", "verdict")


def as_text(summary: Mapping[str, Any]) -> str:
    """What grew, and what came of the requests."""
    rows = [_row(trend) for trend in summary["trends"] if trend["is_ours"] or trend["is_flat"] is False]
    verdict = {True: "flat", False: "NOT flat", None: "too short to tell"}[summary["is_flat"]]
    lines = [
        table(_HEADINGS, rows),
        f"{summary['num_requests']:,} requests, {summary['num_unexpected']:,} ended as they should not"
        + "".join(f"\n  {num} x {what}" for what, num in summary["unexpected"].items()),
        *(f"- {change}" for change in summary["changes"]),
        f"still running when the load was over: {_running(summary['still_running'])}",
        f"not given back: {_running(summary['not_given_back'])}",
        f"the application's own processes: {verdict}",
    ]
    return "\n\n".join(lines)


def _running(left: Mapping[str, float] | None) -> str:
    if left is None:
        return "not told"
    return ", ".join(f"{name} {num:g}" for name, num in left.items()) or "nothing"


def _row(trend: Mapping[str, Any]) -> tuple[str, ...]:
    verdict = {True: "flat", False: "GROWS", None: "?"}[trend["is_flat"]]
    return (
        f"{trend['kind']} ({trend['pid']})",
        trend["series"],
        number(trend["level"], ".1f"),
        number(trend["growth"], "+.2f"),
        number(trend["growth_per_hour"], "+.2f"),
        number(trend["z"], "+.1f"),
        number(trend["kept"], "+.1f"),
        verdict,
    )
