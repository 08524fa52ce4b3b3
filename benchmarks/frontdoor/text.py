"""What was measured as tables for a terminal or a README."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.frontdoor.settings import STEPS
from benchmarks.peers.tables import number, table

Row = Mapping[str, Any]


def as_text(summary: Mapping[str, Any]) -> str:
    """A table for each part that was measured, and the verdicts."""
    parts = [
        _added(summary.get("addition", ())),
        _hits(summary.get("hits", ())),
        _gateway(summary.get("gateway", ())),
        _limits(summary.get("limits", ())),
        _shares(summary.get("shares", ())),
        _replicas(summary.get("replicas")),
        _verdicts(summary["verdicts"]),
    ]
    parts += [f"did not start: {line}" for line in summary.get("did_not_start", ())]
    return "\n\n".join(part for part in parts if part)


def _added(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    headings = ("door", "store", "callers", "answers", *_COMPARED)
    cells = [
        (row["step"], row["store"], str(row["num_callers"]), row["kind"], *_compared(row)) for row in rows
    ]
    legend = "\n".join(f"- {step}: {what}" for step, what in STEPS.items() if _has(rows, step))
    return f"{table(headings, cells)}\n\nEach with those before it:\n{legend}"


def _has(rows: Sequence[Row], step: str) -> bool:
    return any(row["step"] == step for row in rows)


# Of a comparison in pairs. The answer is a stream's first token, and the end of a document, without the engine's time.
_COMPARED = (
    "beyond the engine p50 without / with, ms",
    "added p50 (of each pair), ms",
    "added p99, ms",
    "requests/s without / with",
    "CPU/request without / with, ms",
    "failed",
    "certified",
)


def _compared(row: Row) -> tuple[str, ...]:
    each = row["added_each_ms"]
    return (
        _two(row, "p50_ms", ".1f"),
        f"{number(row['added_p50_ms'], '+.2f')} ({min(each):+.2f}..{max(each):+.2f})",
        number(row["added_p99_ms"], "+.1f"),
        f"{_two(row, 'rps', '.1f')} ({number(row['ratio'], '.2f')})",
        _two(row, "cpu_ms", ".2f"),
        str(row["num_failed"]),
        f"{row['num_certified']}/{row['num_runs']}",
    )


def _two(row: Row, name: str, form: str) -> str:
    return f"{number(row[f'without_{name}'], form)} / {number(row[f'with_{name}'], form)}"


def _hits(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    headings = (
        "hit",
        "store",
        "callers",
        "answers",
        "answer p50 / p99, ms",
        "whole p50, ms",
        "hits/s",
        "as slow as the model",
    )
    cells = [
        (
            row["hit"],
            row["store"],
            str(row["num_callers"]),
            row["kind"],
            f"{row['answer_ms']['p50']:.1f} / {row['answer_ms']['p99']:.1f}",
            f"{row['whole_ms']['p50']:.1f}",
            f"{row['requests_per_s']:,.0f}",
            f"{row['num_computed']} of {row['num']}",
        )
        for row in rows
    ]
    return f"cache hits:\n\n{table(headings, cells)}"


def _gateway(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    headings = ("callers", "answers", *_COMPARED)
    cells = [(str(row["num_callers"]), row["kind"], *_compared(row)) for row in rows]
    return f"LiteLLM in front (CPU: the application's / LiteLLM's own):\n\n{table(headings, cells)}"


def _limits(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    headings = (
        "limit",
        "a minute + burst",
        "seconds",
        "offered",
        "passed",
        "failed",
        "taken / allowed",
        "off",
    )
    cells = [
        (
            row["limit"],
            f"{row['per_min']:,.0f} + {row['burst']:,.0f}",
            f"{row['seconds']:.1f}",
            str(row["num_offered"]),
            str(row["num_passed"]),
            str(row["num_failed"]),
            f"{row['taken']:,.0f} / {row['allowed']:,.1f}",
            f"{row['off']:+.2%}",
        )
        for row in rows
    ]
    return f"limits:\n\n{table(headings, cells)}"


def _shares(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    headings = ("tenant", "weight", "offered", "passed", "refused", "share / due", "off")
    cells = [
        (
            row["tenant"],
            f"{row['weight']:g}",
            str(row["num_offered"]),
            str(row["num_passed"]),
            str(row["num_refused"]),
            f"{row['share']:.1%} / {row['due']:.1%}",
            f"{row['off']:+.2%}",
        )
        for row in rows
    ]
    used = rows[0]["engine_used"]
    return f"shares of an engine whose slots were {used:.1%} in use:\n\n{table(headings, cells)}"


def _replicas(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    each = ", ".join(f"{name} {num}" for name, num in found["requests_by_replica"].items())
    return f"requests by replica: {each}; decided without Redis: {found['num_decided_without_redis']}"


def _verdicts(verdicts: Sequence[Row]) -> str:
    rows = [
        (
            verdict["what"],
            f"{verdict['value']:+.3f}",
            "met" if verdict["is_met"] else "NOT met",
            f"{verdict['num_met']}/{verdict['num']}" if "num" in verdict else number(None),
        )
        for verdict in verdicts
    ]
    return table(("bar", "value", "verdict", "met in pairs"), rows) if rows else "no bar was measured"
