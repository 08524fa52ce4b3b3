"""The page of a suite: every scenario with its objectives in one table, and what happened in each below it."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.report.frame import Section, chip, page, table
from benchmarks.report.inputs import SuiteReport, SuiteRow
from benchmarks.report.judgements import Judgement, Tone, judgements
from benchmarks.report.markup import Child, Html, join, tag
from benchmarks.report.run_page import run_sections, tile_row, verdicts
from benchmarks.report.what_was_run import address, arrivals_in_words, part, what_was_run
from benchmarks.report.wording import count


def render_suite(suite: SuiteReport) -> str:
    """The whole file."""
    return page(
        title=suite.title,
        kicker="Load test: scenarios",
        meta=_meta(suite),
        top=verdicts(_judgements(suite.rows)),
        sections=[
            Section("scenarios", "Scenarios", _table(suite.rows)),
            Section(
                "details",
                "What happened",
                join(_details(row, f"s{number}") for number, row in enumerate(suite.rows, 1)),
                "Open a scenario for its figures and plots.",
            ),
            Section("what", "What was run", what_was_run(None, suite.settings, None)),
        ],
    )


def _meta(suite: SuiteReport) -> list[str]:
    url = str(part(suite.settings, "target").get("url") or suite.settings.get("url") or "")
    facts = [
        address(url),
        str(suite.settings.get("profile") or ""),
        str(suite.settings.get("time_utc") or ""),
    ]
    return [*(fact for fact in facts if fact), count(len(suite.rows), "scenario")]


def _judgements(rows: Sequence[SuiteRow]) -> list[Judgement]:
    passed = [row for row in rows if row.is_passed]
    failed = [row for row in rows if row.problem is None and row.run is not None and not row.is_passed]
    doubtful = [row for row in rows if row.problem is not None and row.run is not None]
    missing = [row for row in rows if row.run is None]
    found = []
    if passed:
        words = "All scenarios passed" if len(passed) == len(rows) else f"{len(passed)} of {len(rows)} passed"
        found.append(Judgement("good", words, (", ".join(row.name for row in passed),)))
    for tone, words, those in (
        ("bad", "missed objectives", failed),
        ("bad", "not valid", doubtful),
        ("warn", "did not run", missing),
    ):
        if those:
            reasons = tuple(f"{row.name}: {_why(row)}" for row in those)
            found.append(Judgement(tone, f"{count(len(those), 'scenario')} {words}", reasons))  # type: ignore[arg-type]
    return found


def _why(row: SuiteRow) -> str:
    if row.problem is not None:
        return row.problem
    return "; ".join(f"{one.text}: {one.measured}" for one in row.objectives if not one.is_met)


def _state(row: SuiteRow) -> tuple[str, Tone]:
    if row.run is None:
        return "not run", "warn"
    if row.problem is not None:
        return "not valid", "bad"
    return ("passed", "good") if row.is_passed else ("missed", "bad")


# ---------------------------------------------------------------- table


def _table(rows: Sequence[SuiteRow]) -> Html:
    body: list[Sequence[Child]] = []
    classes: list[str] = []
    for number, row in enumerate(rows, 1):
        link = tag("a", row.name, href=f"#s{number}")
        state = chip(*_state(row))
        objectives = row.objectives or ()
        if not objectives:
            body.append((link, state, row.problem or "no objectives", "", ""))
            classes.append("")
        for position, one in enumerate(objectives):
            is_first = position == 0
            mark = chip("met", "good") if one.is_met else chip("missed", "bad")
            body.append((link if is_first else "", state if is_first else "", one.text, one.measured, mark))
            classes.append("" if is_first else "more")
    head = ("Scenario", "", "objective", "measured", "")
    return table(head, body, num_left=3, classes=classes)


# ---------------------------------------------------------------- one scenario


def _details(row: SuiteRow, anchor: str) -> Html:
    parts: list[Child] = [tag("p", row.description, class_="lead")]
    if row.problem is not None:
        parts.append(tag("p", row.problem))
    if row.run is not None:
        parts += [tag("p", arrivals_in_words(row.run.workload), class_="note"), _link(row)]
        parts += [verdicts(judgements(row.run)), tile_row(row.run)]
        sections = run_sections(row.run, row.events or {}, prefix=f"{anchor}-")
        parts += [section.draw() for section in sections]
    words = tag("summary", tag("b", row.name), chip(*_state(row)))
    return tag("details", words, *parts, class_="scenario", id=anchor)


def _link(row: SuiteRow) -> Html | None:
    if not row.link or ":" in row.link or row.link.startswith(("/", "\\")):
        return None  # links lead to files beside this one and nowhere else
    return tag("p", tag("a", "The run's own report", href=row.link))
