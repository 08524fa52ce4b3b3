"""A comparison for the terminal: a line a figure, and below it what the exit code comes from."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from benchmarks.compare.comparison import Comparison
from benchmarks.compare.decide import Judged, Verdict
from benchmarks.compare.document import finite, median
from benchmarks.compare.report import difference_text, sentence
from benchmarks.report.wording import NOTHING, number, share

_STYLES = {
    Verdict.WORSE: "bold red",
    Verdict.BETTER: "green",
    Verdict.EQUIVALENT: "green",
    Verdict.NOT_SHOWN: "",
    Verdict.NOT_MEASURED: "dim",
}


def comparison_text(comparison: Comparison) -> RenderableType:
    """For rich."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("")
    for name in (comparison.name_a, comparison.name_b, "difference"):
        table.add_column(name, justify="right")
    table.add_column(f"{1 - comparison.levels.alpha:.0%} interval", justify="right")
    table.add_column("would find", justify="right")
    table.add_column("")
    for judged in comparison.judged:
        if judged.verdict is not Verdict.NOT_MEASURED or judged.is_primary:
            table.add_row(*_cells(judged, comparison))
    lines = [sentence(comparison), *_remarks(comparison)]
    return Group(table, Text(), *(Text(line) for line in lines))


def _cells(judged: Judged, comparison: Comparison) -> list[Text]:
    figure = judged.figure
    values = (median(runs, figure.name) for runs in (comparison.runs_a, comparison.runs_b))
    show = share if figure.scale == "share" else number
    return [
        Text(f"{figure.text} {figure.unit}".rstrip(), "bold" if judged.is_primary else ""),
        *(Text(show(value)) for value in values),
        Text(NOTHING if judged.difference is None else difference_text(judged)),
        Text(_interval(judged)),
        Text(_parts(judged, judged.detectable, signed=False)),
        Text(judged.verdict.value, _STYLES[judged.verdict]),
    ]


def _interval(judged: Judged) -> str:
    if judged.interval is None:
        return NOTHING
    low, high = (_parts(judged, end, signed=True) for end in judged.interval)
    return f"{low} to {high}"


def _parts(judged: Judged, value: float | None, *, signed: bool) -> str:
    known = finite(value)
    if known is None:
        return NOTHING if value is None else "\N{INFINITY}"
    digits = f"{100 * known:{'+' if signed else ''}.{2 if judged.figure.scale == 'share' else 1}f}"
    return digits if judged.figure.scale == "share" else f"{digits}%"


def _remarks(comparison: Comparison) -> list[str]:
    found = [f"note: {note}" for note in comparison.notes]
    if comparison.excluded:
        found.append(f"left out: {len(comparison.excluded)}, the first because of {comparison.excluded[0]}")
    if comparison.shortage:
        found.append(comparison.shortage)
    if comparison.stopped_because:
        found.append(f"stopped: {comparison.stopped_because}")
    return found
