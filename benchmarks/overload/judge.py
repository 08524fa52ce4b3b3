"""From the figures of all runs to a summary with its bars, and its tables."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.overload.figures import Figures
from benchmarks.overload.measure import Measured
from benchmarks.tables import number, table

BAR = 0.9  # goodput at the highest multiple, over the best goodput of any
# With priorities, at the highest multiple: interactive goodput over that best. A tenth of the slots is batch's.
PROTECTED_BAR = 0.8
_FIGURES = ("offered_rps", "completed_rps", "goodput_rps", "refused_share", "failed_share")


def summarise(runs: Sequence[Measured]) -> dict[str, Any]:
    """Medians over repetitions, by kind, multiple and part; and whether the bars are met.

    A bar without its runs is null: neither met nor missed.
    """
    rows = [_row(key, found) for key, found in _grouped(runs).items()]
    plain = {row["multiple"]: row["goodput_rps"] for row in rows if row["kind"] == "plain"}
    best = max(plain.values(), default=None)
    return {
        "bar": _bar(
            f"goodput at the highest multiple is at least {BAR} of the best goodput",
            BAR,
            plain.get(max(plain, default=0.0)),
            best,
        ),
        "bar_with_priorities": _bar(
            f"interactive goodput beside batch is there at least {PROTECTED_BAR} of the same best",
            PROTECTED_BAR,
            _interactive(rows),
            best,
        ),
        "best_goodput_rps": best,
        "num_refusals_without_retry_after": sum(run.retry_after["num_without"] for run in runs),
        "rows": rows,
    }


def as_text(summary: Mapping[str, Any]) -> str:
    """The tables and the bars."""
    headings = (
        *(
            "load",
            "kind",
            "who",
            "offered/s",
            "goodput/s",
            "goodput / best",
            "completed/s",
            "refused",
            "failed",
        ),
        *("ttft p50 / p95, ms", "e2e p95, ms", "refused after p50 / p99, ms", "Retry-After p50 / max, s"),
    )
    best = summary["best_goodput_rps"]
    lines = [table(headings, [_cells(row, best) for row in summary["rows"]])]
    for name in ("bar", "bar_with_priorities"):
        bar = summary[name]
        verdict = {True: "met", False: "NOT met", None: "not measured"}[bar["is_met"]]
        lines.append(f"{bar['what']}: {number(bar['ratio'], '.3f')}, {verdict}")
    lines.append(f"refusals without Retry-After: {summary['num_refusals_without_retry_after']}")
    doubts = sorted(
        {f"{row['kind']} {row['multiple']:g}x: {p}" for row in summary["rows"] for p in row["problems"]}
    )
    if doubts:
        lines.append(
            "the client's own figures cast doubt on times of:\n" + "\n".join(f"- {d}" for d in doubts)
        )
    return "\n\n".join(lines)


def _grouped(runs: Iterable[Measured]) -> dict[tuple[str, float, str], list[tuple[Measured, Figures]]]:
    groups: dict[tuple[str, float, str], list[tuple[Measured, Figures]]] = {}
    for run in runs:
        for name, figures in run.parts.items():
            key = (run.planned.kind, run.planned.multiple, name)
            groups.setdefault(key, []).append((run, figures))
    return groups


def _row(key: tuple[str, float, str], found: Sequence[tuple[Measured, Figures]]) -> dict[str, Any]:
    kind, multiple, part = key
    each = [figures for _, figures in found]
    return {
        "kind": kind,
        "multiple": multiple,
        "part": part,
        "num_runs": len(each),
        **{name: _median([getattr(figures, name) for figures in each]) for name in _FIGURES},
        "goodputs_rps": [figures.goodput_rps for figures in each],
        "ttft_ms": _medians([figures.ttft_ms for figures in each]),
        "e2e_ms": _medians([figures.e2e_ms for figures in each]),
        "refused_after_ms": _medians([figures.refused_after_ms for figures in each]),
        "retry_after_s": _medians([run.retry_after["seconds"] for run, _ in found]),
        "problems": sorted({problem for figures in each for problem in figures.problems}),
    }


def _bar(what: str, least: float, value: float | None, best: float | None) -> dict[str, Any]:
    ratio = None if value is None or not best else round(value / best, 4)
    return {"what": what, "ratio": ratio, "is_met": None if ratio is None else ratio >= least}


def _interactive(rows: Iterable[Mapping[str, Any]]) -> float | None:
    """Goodput of those beside marked batch requests, at the highest multiple."""
    found = {row["multiple"]: row["goodput_rps"] for row in rows if _is_beside_batch(row)}
    return found[max(found)] if found else None


def _is_beside_batch(row: Mapping[str, Any]) -> bool:
    return bool(row["kind"] == "mixed" and row["part"] == "interactive")


def _cells(row: Mapping[str, Any], best: float | None) -> tuple[str, ...]:
    def of(name: str, *percentiles: str, form: str = ",.0f") -> str:
        return " / ".join(number(row[name].get(percentile), form) for percentile in percentiles)

    return (
        f"{row['multiple']:g}x",
        row["kind"],
        row["part"],
        number(row["offered_rps"], ".1f"),
        number(row["goodput_rps"], ".2f"),
        number(row["goodput_rps"] / best if best else None, ".2f"),
        number(row["completed_rps"], ".2f"),
        number(row["refused_share"], ".1%"),
        number(row["failed_share"], ".1%"),
        of("ttft_ms", "p50", "p95"),
        of("e2e_ms", "p95"),
        of("refused_after_ms", "p50", "p99"),
        of("retry_after_s", "p50", "max"),
    )


def _median(values: Sequence[float]) -> float:
    return round(statistics.median(values), 4)


def _medians(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Percentile -> its median over the repetitions that have it."""
    names = dict.fromkeys(name for percentiles in found for name in percentiles)
    return {name: _median([some[name] for some in found if name in some]) for name in names}
