"""The table: for a terminal, for a reader, for a program, and as an exit code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from benchmarks.conformance.suite import Finding
from benchmarks.conformance.tally import Ending, Tally
from benchmarks.results_folder import write_json

_COLUMNS: Mapping[str, Callable[[Tally], object]] = {
    "asked": lambda counted: counted.num_asked,
    "started": lambda counted: counted.num_started,
    "completed": lambda counted: counted.num(Ending.COMPLETED),
    "told": lambda counted: counted.num(Ending.TOLD),
    "broken": lambda counted: counted.num(Ending.BROKEN),
    "lost": lambda counted: counted.num(Ending.LOST),
    "twice": lambda counted: counted.num_doubled,
    "missing": lambda counted: counted.num_missing,
    "refused": lambda counted: counted.num(Ending.REFUSED),
    "errors": lambda counted: counted.num(Ending.ERROR),
    "unanswered": lambda counted: counted.num(Ending.UNANSWERED),
    "in vain": lambda counted: counted.num_vain_tokens,
}
_HEADINGS = ("fault", *_COLUMNS, "recovery s", "whole s", "slowest ttft ms", "longest pause ms", "verdict")
_STYLES = {"passed": "green", "failed": "bold red", "not run": "yellow"}
LEGEND = (
    "Streams: started (status 200 came), completed, told (cut by an error event), broken (cut with the connection), "
    "lost (ended as if whole, or never). Tokens: twice and missing against the text that the seed gives; in vain are "
    "those of streams that were then cut. Requests without a stream: refused (429, 503 with Retry-After), errors "
    "(other statuses), unanswered. Recovery: from the fault to the first arrival from which on all end well; whole: "
    "until every replica, proxy and node ran again, the window itself included. Slowest first token and longest pause "
    "between two tokens: of streams that were completed."
)


def exit_code(findings: Sequence[Finding]) -> int:
    """0: all that was done passed; 1: something did not; 2: nothing was done.

    What cannot be done here is told and is no fault.
    """
    verdicts = {finding.verdict for finding in findings}
    if "failed" in verdicts:
        return 1
    return 0 if "passed" in verdicts else 2


def table(findings: Sequence[Finding]) -> RenderableType:
    """For rich: as wide as it is, whatever the terminal's width."""
    rows = [_HEADINGS, *((finding.name, *_cells(finding), finding.verdict) for finding in findings)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    lines = []
    for number, row in enumerate(rows):
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:-1], widths[1:-1], strict=True)]
        style = "bold" if number == 0 else _STYLES[row[-1]]
        lines.append(Text.assemble("  ".join(cells), "  ", (row[-1], style)))
    for finding in findings:
        lines += [Text(f"{finding.name}: {reason}", "yellow") for reason in reasons(finding)]
    return Group(*lines, Text(LEGEND, "dim"))


def markdown(findings: Sequence[Finding], title: str) -> str:
    """The same for a reader."""
    lines = [f"# {title}", "", f"| {' | '.join(_HEADINGS)} |"]
    lines.append(f"|---|{'---:|' * (len(_HEADINGS) - 2)}---|")
    lines += [f"| {' | '.join((finding.name, *_cells(finding), finding.verdict))} |" for finding in findings]
    lines += ["", LEGEND, "", "## What was done", ""]
    for finding in findings:
        told = finding.injected.told if finding.injected is not None else finding.problem or ""
        what = finding.injected.start_text if finding.injected is not None else "not done"
        lines.append(f"- {finding.name}: {what}. {told}")
        lines += [f"  - not met: {reason}" for reason in reasons(finding) if finding.problem is None]
    return "\n".join(lines) + "\n"


def reasons(finding: Finding) -> list[str]:
    """Why a row did not pass; nothing for one that did."""
    if finding.problem is not None:
        return [finding.problem]
    return [f"{check.text}: {check.measured}" for check in finding.checks if not check.is_met]


def write(findings: Sequence[Finding], folder: Path, title: str, settings: Mapping[str, object]) -> None:
    """conformance.json and conformance.md."""
    document = {"title": title, "settings": settings, "rows": [_document(finding) for finding in findings]}
    write_json(folder / "conformance.json", document)
    (folder / "conformance.md").write_text(markdown(findings, title), encoding="utf-8")


def _cells(finding: Finding) -> list[str]:
    if finding.counted is None:
        return ["-"] * (len(_HEADINGS) - 2)
    cells = [str(value(finding.counted)) for value in _COLUMNS.values()]
    cells += [_number(finding.recovery_s, 1), _number(finding.whole_again_s, 0)]
    times_ms = (finding.counted.slowest_first_token_ms, finding.counted.longest_pause_ms)
    return [*cells, *(_number(value, 0) for value in times_ms)]


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _document(finding: Finding) -> dict[str, Any]:
    counted, injected = finding.counted, finding.injected
    document: dict[str, Any] = {
        "name": finding.name,
        "verdict": finding.verdict,
        "problem": finding.problem,
        "checks": [
            {"text": check.text, "measured": check.measured, "is_met": check.is_met}
            for check in finding.checks
        ],
        "recovery_s": finding.recovery_s,
        "whole_again_s": finding.whole_again_s,
        "measured": dict(finding.measured),
        "folder": finding.folder,
    }
    if injected is not None:
        document["fault"] = {
            "start_s": round(injected.start_s, 3),
            "end_s": round(injected.end_s, 3),
            "what": injected.start_text,
            "told": injected.told,
            "is_done": injected.is_done,
        }
    if counted is not None:
        document["counts"] = {name: value(counted) for name, value in _COLUMNS.items()}
        document["num_compared"] = counted.num_compared
        document["slowest_first_token_ms"] = counted.slowest_first_token_ms
        document["longest_pause_ms"] = counted.longest_pause_ms
        document["wrong_texts"] = [
            {"index": one.index, "doubled": one.doubled, "missing": one.missing} for one in counted.wrong
        ]
    return document
