"""What a suite leaves behind beside its runs' folders: suite.json for programs, a table for the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from benchmarks.report.inputs import SuiteReport, SuiteRow
from benchmarks.results_folder import machine, write_json

SUITE = "suite.json"


def write_suite(report: SuiteReport, folder: Path) -> None:
    """Write suite.json: the settings, the machine, and each scenario with its objectives."""
    write_json(
        folder / SUITE,
        {
            "title": report.title,
            "settings": dict(report.settings),
            "machine": machine(),
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


def suite_table(report: SuiteReport) -> RenderableType:
    """For rich: a line for each objective, and the reason where there is none."""
    table = Table(box=None, pad_edge=False)
    for name in ("scenario", "", "objective", "measured"):
        table.add_column(name)
    for row in report.rows:
        word = verdict(row)
        first = [Text(row.name, "bold"), Text(word, _STYLES[word])]
        lines = [(objective.text, objective.measured, objective.is_met) for objective in row.objectives]
        if row.problem is not None:
            table.add_row(*first, Text(row.problem, "yellow"), "")
            first = [Text(), Text()]
        for text, measured, is_met in lines:
            table.add_row(*first, Text(text), Text(measured, "" if is_met else "red"))
            first = [Text(), Text()]
    return Group(Text(report.title, "bold"), Text(), table)


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
