"""The page of a comparison: is B better or worse than A, by how much, and how surely."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from benchmarks.report.chart import Chart
from benchmarks.report.frame import Section, charts, chip, page, table
from benchmarks.report.inputs import ComparedDistribution, ComparisonReport, ComparisonRow, Finding
from benchmarks.report.judgements import Judgement, Tone
from benchmarks.report.latency_plots import TITLES, curve_figure
from benchmarks.report.marks import Dots, Level
from benchmarks.report.markup import Child, Html, join, tag
from benchmarks.report.run_page import verdicts
from benchmarks.report.scales import Linear, around
from benchmarks.report.timeline import Floats
from benchmarks.report.what_was_run import meta, scrubbed, what_was_run
from benchmarks.report.wording import NOTHING, change, count, number, share

_TONES: dict[Finding, Tone] = {
    "better": "good",
    "worse": "bad",
    "equivalent": "good",
    "no difference shown": "none",
    "not measured": "warn",
}


def render_comparison(comparison: ComparisonReport) -> str:
    """The whole file."""
    sections = [Section("figures", "Differences", _table(comparison), _lead(comparison))]
    pairs = _pair_figures(comparison)
    if pairs:
        sections.append(
            Section(
                "pairs",
                "Pair by pair",
                charts(*pairs),
                "One dot a pair; no pattern over time should be seen.",
            )
        )
    if comparison.distributions:
        curves = [_curve(comparison, one) for one in comparison.distributions]
        lead = "All requests of all runs that count; the tail is stretched."
        sections.append(Section("percentiles", "Percentiles", charts(*curves), lead))
    sections.append(
        Section("what", "What was run", what_was_run(comparison.workload, comparison.settings, None))
    )
    facts = [f"A: {scrubbed(comparison.name_a)}", f"B: {scrubbed(comparison.name_b)}"]
    if comparison.workload is not None:
        facts += meta(comparison.workload, {"time_utc": comparison.settings.get("time_utc", "")})
    return page(
        title=comparison.title,
        kicker="Load test: comparison",
        meta=facts,
        top=verdicts(_judgements(comparison)),
        sections=sections,
    )


def _judgements(comparison: ComparisonReport) -> list[Judgement]:
    how = (
        f"{count(comparison.num_pairs, 'interleaved pair')} of runs"
        if comparison.num_pairs
        else "Runs that were made at different times, which is weaker evidence than interleaved pairs"
    )
    found = [Judgement(_TONES[comparison.finding], scrubbed(comparison.verdict), (f"{how}.",))]
    if comparison.problems:
        found.append(Judgement("warn", "Not all of it counts", comparison.problems))
    if comparison.notes:
        found.append(Judgement("none", "Before believing it", comparison.notes))
    return found


def _lead(comparison: ComparisonReport) -> str:
    return (
        f"B minus A, in parts of A. The intervals hold with {comparison.confidence * 100:.4g} % confidence; a "
        "difference smaller than the detectable one may be there all the same, and would most likely not be found."
    )


# ---------------------------------------------------------------- table with intervals


def _table(comparison: ComparisonReport) -> Html:
    reach = _reach(comparison.rows)
    head = ("Figure", "finding", "A", "B", "difference", "interval", "detectable", "")
    rows: list[Sequence[Child]] = [
        (
            f"{row.figure}, {row.unit}" if row.unit else row.figure,
            chip(row.finding, _TONES[row.finding]),
            share(row.a) if row.is_share else number(row.a),
            share(row.b) if row.is_share else number(row.b),
            tag("b", _difference(row, row.difference)),
            _interval(row),
            _difference(row, row.minimum_detectable).lstrip("+"),
            _whisker(row, reach),
        )
        for row in comparison.rows
    ]
    classes = ["marked" if row.is_primary else "" for row in comparison.rows]
    note = tag(
        "p",
        "The bar is the interval, the stroke in it the difference; the shade around zero is what so many runs could "
        "not have told from nothing. The row with a background is the figure that the comparison was made for.",
        class_="note",
    )
    return join((table(head, rows, num_left=2, classes=classes), note))


def _difference(row: ComparisonRow, value: float | None) -> str:
    return change(value).replace(" %", " points") if row.is_share else change(value)


def _interval(row: ComparisonRow) -> str:
    if row.low is None and row.high is None:
        return NOTHING
    low, high = _difference(row, row.low), _difference(row, row.high)
    unit = high.rpartition(" ")[2]
    return f"{low.removesuffix(unit).rstrip()} to {high}"


def _reach(rows: Sequence[ComparisonRow]) -> float:
    """The largest difference that the drawing has room for, in parts."""
    ends = [
        abs(end) for row in rows for end in (row.low, row.high, row.minimum_detectable) if end is not None
    ]
    finite = sorted(end for end in ends if math.isfinite(end))
    return max(0.01, finite[-1] * 1.08) if finite else 1.0


def _whisker(row: ComparisonRow, reach: float) -> Html | None:
    if row.difference is None or row.low is None or row.high is None:
        return None
    scale = Linear(-reach, reach)
    low, high, middle = (scale.at(value) for value in (row.low, row.high, row.difference))
    shade = None
    if row.minimum_detectable is not None:
        start, end = scale.at(-row.minimum_detectable), scale.at(row.minimum_detectable)
        shade = tag("em", style=f"left:{start * 100:.1f}%;width:{(end - start) * 100:.1f}%")
    return tag(
        "span",
        shade,
        tag("s", style="left:50%"),
        tag("i", style=f"left:{low * 100:.1f}%;width:{max(high - low, 0.004) * 100:.1f}%"),
        tag("u", style=f"left:{middle * 100:.1f}%"),
        class_=f"whisker {_TONES[row.finding]}",
    )


# ---------------------------------------------------------------- plots


def _pair_figures(comparison: ComparisonReport) -> list[Html]:
    figures = []
    for row in comparison.rows:
        known = [value * 100 for value in row.pair_differences if math.isfinite(value)]
        if not known:
            continue
        numbers = [float(number) for number in range(1, len(row.pair_differences) + 1)]
        levels = [Level(0.0, "")]
        if row.difference is not None and math.isfinite(row.difference):
            levels.append(Level(row.difference * 100, change(row.difference)))
        figures.append(
            Chart(
                title=row.figure,
                x=Linear(0.0, len(numbers) + 1.0),
                y=around(min(known), max(known)),
                x_title="pair",
                y_unit="% of A" if not row.is_share else "points",
                marks=[
                    Dots("", "blue", numbers, [value * 100 for value in row.pair_differences], is_large=True)
                ],
                levels=levels,
            ).draw()
        )
    return figures


def _curve(comparison: ComparisonReport, one: ComparedDistribution) -> Html:
    curves = [
        (f"A: {scrubbed(comparison.name_a)}", "blue", _ranked(one.values_a, one.num_a), False),
        (f"B: {scrubbed(comparison.name_b)}", "orange", _ranked(one.values_b, one.num_b), True),
    ]
    return curve_figure(TITLES.get(one.metric, one.metric), one.unit, curves)  # type: ignore[arg-type]


def _ranked(values: Sequence[float], num: int) -> Floats:
    ranked = np.sort(np.array(values, dtype=np.float64))
    return np.concatenate([ranked, np.full(max(0, num - len(ranked)), math.inf)])
