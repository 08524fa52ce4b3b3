"""The comparison as tables for a terminal or a README."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.tables import absences, number, table

_HEADINGS = (
    *("callers", "prompt", "server", "tokens/s", "of llama-server", "of locked"),
    *("ttft p50 / p95, ms", "itl p50 / p95, ms", "e2e p50 / p95, s", "CPU/token, ms", "failed", "certified"),
)


def as_text(summary: Mapping[str, Any]) -> str:
    """The figures, the bars, and who is missing."""
    parts = [_figures(summary["figures"])]
    if summary["verdicts"]:
        parts.append(_verdicts(summary["verdicts"]))
    return "\n\n".join(parts) + absences(summary.get("did_not_run", {}))


def _figures(figures: Sequence[Mapping[str, Any]]) -> str:
    return table(_HEADINGS, [_row(one) for one in figures])


def _row(one: Mapping[str, Any]) -> tuple[str, ...]:
    case, median = one["case"], one["median"]
    shared = case["shared_tokens"]
    prompt = f"{shared} shared + {case['prompt_tokens'] - shared}" if shared else str(case["prompt_tokens"])
    return (
        str(case["num_callers"]),
        prompt,
        one["subject"],
        f"{number(median['tokens_per_s'], '.1f')} ({span(one['each']['tokens_per_s'], '.1f')})",
        _ratio(one, "llama-server"),
        _ratio(one, "locked"),
        _two(median, "ttft", ",.0f"),
        _two(median, "itl", ".1f"),
        _two(median, "e2e", ".2f", 1e-3),
        number(one["cpu_ms_per_token"], ".2f"),
        str(one["num_failed"]),
        f"{one['num_certified']}/{one['num_runs']}",
    )


def _ratio(one: Mapping[str, Any], peer: str) -> str:
    if one["subject"] == peer:
        return "1"
    values = one["ratios"].get(peer, {}).get("tokens_per_s", [])
    if not values:
        return number(None)
    middle = statistics.median(values)
    return f"{middle:.3f} ({span(values, '.3f')})"


def _two(median: Mapping[str, float | None], name: str, form: str, scale: float = 1.0) -> str:
    found = (median[f"{name}_{percentile}_ms"] for percentile in ("p50", "p95"))
    return " / ".join(number(None if value is None else value * scale, form) for value in found)


def span(values: Sequence[float | None], form: str) -> str:
    """From the smallest to the largest."""
    known = [value for value in values if value is not None]
    return f"{min(known):{form}}..{max(known):{form}}" if known else number(None)


def _verdicts(verdicts: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            one["subject"],
            one["case"],
            one["bar"],
            f"{one['value']:.3f} ({span(one['each'], '.3f')})",
            "met" if one["is_met"] else "NOT met",
            f"{one['num_met']}/{one['num']}",
        )
        for one in verdicts
    ]
    return table(("server", "case", "bar", "median (spread)", "verdict", "met in repetitions"), rows)
