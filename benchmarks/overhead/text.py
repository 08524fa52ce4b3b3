"""The comparison as tables for a terminal or a README."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.overhead.bars import BARE
from benchmarks.tables import number, table

_HEADINGS = (
    *(
        "way",
        "callers",
        "requests/s",
        "ratio to bare",
        "tokens/s",
        "ratio",
        "itl p50 / p99, ms",
        "pause p99, ms",
        "tokens/arrival",
    ),
    *("ttft p50 / p99, ms", "over bare p50 / p99, ms", "failed", "certified", "CPU/request, ms"),
)


def as_text(summary: Mapping[str, Any]) -> str:
    """Both tables, and the processes that the time goes to."""
    return "\n\n".join(
        (_figures(summary["figures"]), _verdicts(summary["verdicts"]), _cpu(summary["figures"]))
    )


def _figures(figures: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [_row(one) for one in sorted(figures.values(), key=lambda one: one["num_callers"])]
    return table(_HEADINGS, rows)


def _row(one: Mapping[str, Any]) -> tuple[str, ...]:
    is_bare = one["way"] == BARE
    return (
        one["way"],
        str(one["num_callers"]),
        number(one["requests_per_s"], ".1f"),
        "1" if is_bare else f"{number(one['ratio'], '.3f')} ({_span(one['each']['ratio'], '.3f')})",
        number(one["output_tokens_per_s"], ".0f"),
        "1" if is_bare else number(one["tokens_ratio"], ".3f"),
        _two(one, "itl_p50_ms", "itl_p99_ms"),
        number(one["pause_p99_ms"], ".1f"),
        number(one["tokens_per_arrival"], ".2f"),
        _two(one, "ttft_p50_ms", "ttft_p99_ms"),
        "0" if is_bare else _two(one, "ttft_over_ms", "ttft_p99_over_ms"),
        str(one["num_failed"]),
        f"{one['num_certified']}/{one['num_runs']}",
        number(sum(one["cpu_ms"].values()), ".2f") if one["cpu_ms"] else number(None),
    )


def _two(one: Mapping[str, Any], first: str, second: str) -> str:
    return f"{number(one[first], '.1f')} / {number(one[second], '.1f')}"


def _span(values: list[float | None], form: str) -> str:
    known = [value for value in values if value is not None]
    return f"{min(known):{form}}..{max(known):{form}}" if known else number(None)


def _verdicts(verdicts: Mapping[str, list[dict[str, Any]]]) -> str:
    rows = [
        (
            way,
            verdict["bar"],
            number(verdict["value"], ".3f"),
            "met" if verdict["is_met"] else "NOT met",
            f"{verdict['num_met']}/{verdict['num']}",
        )
        for way, found in verdicts.items()
        for verdict in found
    ]
    return table(("way", "bar (callers)", "median", "verdict", "met in repetitions"), rows)


def _cpu(figures: Mapping[str, Mapping[str, Any]]) -> str:
    lines = []
    for one in figures.values():
        parts = [f"{kind} {value:.2f}" for kind, value in one["cpu_ms"].items() if value >= 0.01]
        if parts:
            lines.append(f"- {one['way']}, {one['num_callers']} callers: {', '.join(parts)}")
    return "CPU ms per request, by process:\n" + "\n".join(lines)
