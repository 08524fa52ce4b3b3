"""What the records say: the pipeline's own time, the time to the first event, and model calls, by path. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.statistics.samples import sample_percentiles
from benchmarks.tables import number, table

BAR_PATH = "kb"
BARS_MS = {"p50": 10.0, "p95": 25.0}  # of own_ms at one caller
_PERCENTS = (50, 95)


def summarise(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A row for each path and number of callers; a bar without its records is null."""
    keys = dict.fromkeys((record["num_callers"], record["path"]) for record in records)
    rows = [
        _row(num, path, [one for one in records if (one["num_callers"], one["path"]) == (num, path)])
        for num, path in sorted(keys)
    ]
    own = next((row["own_ms"] for row in rows if (row["num_callers"], row["path"]) == (1, BAR_PATH)), None)
    bars = {
        name: {
            "at_most_ms": bar,
            "value_ms": None if not own else own[name],
            "is_met": None if not own else own[name] <= bar,
        }
        for name, bar in BARS_MS.items()
    }
    return {"bars": bars, "rows": rows}


def as_text(summary: Mapping[str, Any]) -> str:
    headings = ("callers", "path", "n", "failed", "own p50 / p95, ms", "all but models p50 / p95, ms",
                "first event p50 / p95, ms", "e2e p50 / p95, ms", "model calls", "outcomes")  # fmt: skip
    lines = [table(headings, [_cells(row) for row in summary["rows"]])]
    for name, bar in summary["bars"].items():
        verdict = {True: "met", False: "NOT met", None: "not measured"}[bar["is_met"]]
        value = number(bar["value_ms"], ".1f")
        lines.append(
            f"the pipeline's own time, {BAR_PATH}, 1 caller, {name}: {value} ms <= {bar['at_most_ms']:g}: {verdict}"
        )
    return "\n".join(lines)


def _row(num_callers: int, path: str, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    ended = [record for record in records if "own_ms" in record]
    calls = [record["num_model_calls"] for record in ended]
    outcomes = [record["outcome"] for record in ended]
    return {
        "num_callers": num_callers,
        "path": path,
        "num": len(records),
        "num_failed": len(records) - len(ended),
        "own_ms": sample_percentiles([record["own_ms"] for record in ended], _PERCENTS),
        "all_but_models_ms": sample_percentiles(
            [record["e2e_ms"] - record["model_ms"] for record in ended if "model_ms" in record], _PERCENTS
        ),
        "first_event_ms": sample_percentiles([record["first_event_ms"] for record in ended], _PERCENTS),
        "e2e_ms": sample_percentiles([record["e2e_ms"] for record in ended], _PERCENTS),
        "num_model_calls": {str(one): calls.count(one) for one in sorted(set(calls))},
        "outcomes": {one: outcomes.count(one) for one in sorted(set(outcomes))},
    }


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    def of(name: str) -> str:
        return " / ".join(number(row[name].get(percentile), ".1f") for percentile in ("p50", "p95"))

    return (
        str(row["num_callers"]),
        row["path"],
        str(row["num"]),
        str(row["num_failed"]),
        of("own_ms"),
        of("all_but_models_ms"),
        of("first_event_ms"),
        of("e2e_ms"),
        ", ".join(f"{calls} ({num})" for calls, num in row["num_model_calls"].items()),
        ", ".join(f"{outcome} {num}" for outcome, num in row["outcomes"].items()),
    )
