"""What was measured as tables for a terminal or a README."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.frontdoor.settings import STEPS
from benchmarks.tables import number, table

Row = Mapping[str, Any]
# A heading, and a row's cell under it.
Column = tuple[str, Callable[[Row], str]]


def as_text(summary: Mapping[str, Any]) -> str:
    """A table for each part that was measured, and the verdicts."""
    parts = [
        _table("", _ADDED, added := summary.get("addition", ())),
        _legend(added),
        _table("cache hits", _HITS, summary.get("hits", ())),
        _table(
            "LiteLLM in front (CPU: the application's / LiteLLM's own)", _GATEWAY, summary.get("gateway", ())
        ),
        _table("limits", _LIMITS, summary.get("limits", ())),
        _table(_in_use(shares := summary.get("shares", ())), _SHARES, shares),
        _replicas(summary.get("replicas")),
        _table("", _VERDICTS, summary["verdicts"]) or "no bar was measured",
        *(f"did not start: {line}" for line in summary.get("did_not_start", ())),
    ]
    return "\n\n".join(part for part in parts if part)


def _table(title: str, columns: Sequence[Column], rows: Sequence[Row]) -> str:
    """The table under its title; nothing, where there are no rows."""
    if not rows:
        return ""
    text = table([heading for heading, _ in columns], [[cell(row) for _, cell in columns] for row in rows])
    return f"{title}:\n\n{text}" if title else text


def _of(name: str, form: str = "") -> Callable[[Row], str]:
    """The cell with that field."""
    return lambda row: format(row[name], form)


def _pair(one: str, other: str, form: str) -> Callable[[Row], str]:
    """Two fields, a slash between them; a dash for one that there is none of."""
    return lambda row: f"{number(row[one], form)} / {number(row[other], form)}"


def _added(row: Row) -> str:
    each = row["added_each_ms"]
    return f"{number(row['added_p50_ms'], '+.2f')} ({min(each):+.2f}..{max(each):+.2f})"


def _rates(row: Row) -> str:
    return f"{_pair('without_rps', 'with_rps', '.1f')(row)} ({number(row['ratio'], '.2f')})"


_LOAD: tuple[Column, ...] = (("callers", _of("num_callers")), ("answers", _of("kind")))
# Of a comparison in pairs. The answer is a stream's first token, and the end of a document, without the engine's time.
_COMPARED: tuple[Column, ...] = (
    ("beyond the engine p50 without / with, ms", _pair("without_p50_ms", "with_p50_ms", ".1f")),
    ("added p50 (of each pair), ms", _added),
    ("added p99, ms", lambda row: number(row["added_p99_ms"], "+.1f")),
    ("requests/s without / with", _rates),
    ("CPU/request without / with, ms", _pair("without_cpu_ms", "with_cpu_ms", ".2f")),
    ("failed", _of("num_failed")),
    ("certified", lambda row: f"{row['num_certified']}/{row['num_runs']}"),
)
_ADDED: tuple[Column, ...] = (("door", _of("step")), ("store", _of("store")), *_LOAD, *_COMPARED)
_GATEWAY: tuple[Column, ...] = (*_LOAD, *_COMPARED)
_HITS: tuple[Column, ...] = (
    ("hit", _of("hit")),
    ("store", _of("store")),
    *_LOAD,
    ("answer p50 / p99, ms", lambda row: f"{row['answer_ms']['p50']:.1f} / {row['answer_ms']['p99']:.1f}"),
    ("whole p50, ms", lambda row: f"{row['whole_ms']['p50']:.1f}"),
    ("hits/s", _of("requests_per_s", ",.0f")),
    ("as slow as the model", lambda row: f"{row['num_computed']} of {row['num']}"),
)
_LIMITS: tuple[Column, ...] = (
    ("limit", _of("limit")),
    ("a minute + burst", lambda row: f"{row['per_min']:,.0f} + {row['burst']:,.0f}"),
    ("seconds", _of("seconds", ".1f")),
    ("offered", _of("num_offered")),
    ("passed", _of("num_passed")),
    ("failed", _of("num_failed")),
    ("taken / allowed", lambda row: f"{row['taken']:,.0f} / {row['allowed']:,.1f}"),
    ("off", _of("off", "+.2%")),
)
_SHARES: tuple[Column, ...] = (
    ("tenant", _of("tenant")),
    ("weight", _of("weight", "g")),
    ("offered", _of("num_offered")),
    ("passed", _of("num_passed")),
    ("refused", _of("num_refused")),
    ("share / due", _pair("share", "due", ".1%")),
    ("off", _of("off", "+.2%")),
)
_VERDICTS: tuple[Column, ...] = (
    ("bar", _of("what")),
    ("value", _of("value", "+.3f")),
    ("verdict", lambda row: "met" if row["is_met"] else "NOT met"),
    ("met in pairs", lambda row: f"{row['num_met']}/{row['num']}" if "num" in row else number(None)),
)


def _legend(rows: Sequence[Row]) -> str:
    """What each step is, of those that were measured."""
    there = {row["step"] for row in rows}
    lines = [f"- {step}: {what}" for step, what in STEPS.items() if step in there]
    return "\n".join(["Each with those before it:", *lines]) if lines else ""


def _in_use(rows: Sequence[Row]) -> str:
    return f"shares of an engine whose slots were {rows[0]['engine_used']:.1%} in use" if rows else ""


def _replicas(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    each = ", ".join(f"{name} {num}" for name, num in found["requests_by_replica"].items())
    return f"requests by replica: {each}; decided without Redis: {found['num_decided_without_redis']}"
