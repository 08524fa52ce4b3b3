"""What a suite leaves behind beside its runs' folders: suite.json for programs, a table for the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from benchmarks.report.inputs import SuiteReport, SuiteRow
from benchmarks.results_folder import write_json

SUITE = "suite.json"


def write_suite(report: SuiteReport, folder: Path) -> None:
    """Write suite.json: the settings and each scenario with its objectives."""
    write_json(
        folder / SUITE,
        {
            "title": report.title,
            "settings": dict(report.settings),
            "scenarios": [_row(row) for row in report.rows],
        },
    )


def verdict(row: SuiteRow) -> str:
    """One word: passed, failed, not run, or invalid, whose figures do not count."""
    if row.run is None:
        return "not run"
    if row.problem is not None:
        return "invalid"
    return "passed" if row.is_passed else "failed"


def exit_code(report: SuiteReport) -> int:
    """0: all that ran passed, 1: some objectives were not met, 3: some figures do not count.

    What cannot be run here is told and is no fault.
    """
    verdicts = {verdict(row) for row in report.rows}
    if "invalid" in verdicts:
        return 3
    return 1 if "failed" in verdicts or verdicts == {"not run"} else 0


def suite_text(report: SuiteReport) -> RenderableType:
    """For rich: each scenario with its objectives, and the reason where there are none."""
    lines = [Text(report.title, "bold")]
    for row in report.rows:
        word = verdict(row)
        lines.append(
            Text.assemble("\n", (f"{row.name:16}", "bold"), (word, _STYLES[word]), f"  {row.description}")
        )
        if row.problem is not None:
            lines.append(Text(f"    {shortened(row.problem)}", "yellow"))
        for objective in row.objectives:
            mark = ("\N{CHECK MARK}", "green") if objective.is_met else ("\N{MULTIPLICATION SIGN}", "red")
            lines.append(Text.assemble("  ", mark, f" {objective.text}: ", (objective.measured, "bold")))
    return Group(*lines)


def shortened(problem: str) -> str:
    """Its first reason, and how many more there are; reports have them all."""
    first, *more = problem.split("; ")
    return first if not more else f"{first}; and {len(more)} more"


_STYLES = {"passed": "green", "failed": "bold red", "invalid": "yellow", "not run": "dim"}


def _row(row: SuiteRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "description": row.description,
        "verdict": verdict(row),
        "problem": row.problem,
        "objectives": [
            {"text": objective.text, "measured": objective.measured, "is_met": objective.is_met}
            for objective in row.objectives
        ],
        "events": [{"at_s": round(at_s, 3), "text": text} for at_s, text in (row.events or {}).items()],
        "folder": row.link.rpartition("/")[0] if row.link is not None else None,
    }
