"""The results as tables for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.tables import NOTHING, absences, number, table


def as_text(summary: Mapping[str, Any]) -> str:
    """Rates by side, a column for each kind of text and case; the cosines; the bars."""
    return "\n\n".join(part for part in (_rates(summary), _bars(summary["verdicts"])) if part)


def _rates(summary: Mapping[str, Any]) -> str:
    figures = summary["figures"].values()
    sides = list(dict.fromkeys(figure["side"] for figure in figures))
    columns = list(dict.fromkeys((figure["kind"], figure["case"]) for figure in figures))
    cells = {(figure["side"], figure["kind"], figure["case"]): _cell(figure) for figure in figures}
    rows = [
        [
            side,
            *(cells.get((side, *column), NOTHING) for column in columns),
            number(summary["cosines"].get(side), ".5f"),
        ]
        for side in sides
    ]
    headings = ["tokens/s", *(f"{kind} {case}" for kind, case in columns), "least cosine"]
    return table(headings, rows) + absences(summary.get("did_not_run", {}))


def _cell(figure: Mapping[str, Any]) -> str:
    return f"{figure['median']:,.0f} ({figure['least']:,.0f}-{figure['most']:,.0f})"


def _bars(verdicts: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        [
            verdict["bar"],
            f"{verdict['median']:.2f}",
            f"{verdict['least']:.2f}-{verdict['most']:.2f}",
            "yes" if verdict["is_met"] else "no",
        ]
        for verdict in verdicts
    ]
    return table(["bar", "ratio", "each", "met"], rows) if rows else ""
