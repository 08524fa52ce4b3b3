from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmarks.report.inputs import ObjectiveRow, SuiteReport, SuiteRow
from benchmarks.scenarios.results import exit_code, shortened, suite_text, verdict, write_suite

RUN: Any = object()
MET = ObjectiveRow("no request fails", "0 of 9", is_met=True)
UNMET = ObjectiveRow("everything ends well again within 30 s", "[41 s]", is_met=False)
PASSED = SuiteRow("steady", "chats at 5 requests/s", (MET,), RUN, link="01-steady/report.html")
FAILED = SuiteRow(
    "replica-killed", "", (MET, UNMET), RUN, events={2.00049: "killed"}, link="02-x/report.html"
)
INVALID = SuiteRow("burst", "", (UNMET,), RUN, "p95 is late; p99 is late; itl is late")
NOT_RUN = SuiteRow("cold-start", "", (), problem="not run: no model of this profile scales to zero")
NO_WORKER = SuiteRow("ramp", "", (), problem="a worker did not start")


@pytest.mark.parametrize(
    ("row", "word"),
    [
        (PASSED, "passed"),
        (FAILED, "failed"),
        (INVALID, "invalid"),
        (NOT_RUN, "not run"),
        (NO_WORKER, "not run"),
    ],
)
def test_every_row_has_a_verdict(row: SuiteRow, word: str) -> None:
    assert verdict(row) == word


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ((PASSED,), 0),
        ((PASSED, NOT_RUN), 0),
        ((PASSED, FAILED, NOT_RUN), 1),
        ((PASSED, FAILED, INVALID), 3),
        ((NOT_RUN, NOT_RUN), 1),  # nothing was shown at all
    ],
)
def test_the_exit_code(rows: tuple[SuiteRow, ...], code: int) -> None:
    assert exit_code(SuiteReport("t", rows, {})) == code


def test_programs_read_the_same(tmp_path: Path) -> None:
    write_suite(SuiteReport("Scenarios", (PASSED, FAILED, NOT_RUN), {"seed": 1}), tmp_path)
    document = json.loads((tmp_path / "suite.json").read_text())
    assert document["settings"] == {"seed": 1}
    passed, failed, not_run = document["scenarios"]
    assert (passed["verdict"], passed["folder"], passed["events"]) == ("passed", "01-steady", [])
    assert failed["events"] == [{"at_s": 2.0, "text": "killed"}]
    assert failed["objectives"][1] == {"text": UNMET.text, "measured": "[41 s]", "is_met": False}
    assert (not_run["problem"], not_run["folder"]) == (NOT_RUN.problem, None)


def test_the_terminal_shows_every_row_and_reason() -> None:
    console = Console(width=200, record=True, file=None, quiet=False, force_terminal=False)
    with console.capture() as capture:
        console.print(suite_text(SuiteReport("Scenarios", (PASSED, FAILED, INVALID, NOT_RUN), {})))
    shown = capture.get()
    assert "everything ends well again within 30 s: [41 s]" in shown
    assert "not run: no model of this profile scales to zero" in shown
    assert "p95 is late; and 2 more" in shown


def test_one_reason_is_told_whole() -> None:
    assert shortened("p95 is late") == "p95 is late"
