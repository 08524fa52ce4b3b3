"""A comparison as its page and the terminal tell it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.compare.comparison import Comparison
from benchmarks.compare.decide import Judged, Verdict
from benchmarks.compare.document import finite, median
from benchmarks.compare.figures import RunFigures
from benchmarks.report.inputs import ComparedDistribution, ComparisonReport, ComparisonRow
from configs.workload import Workload


def report_of(
    comparison: Comparison, title: str, settings: Mapping[str, Any], workload: Workload | None = None
) -> ComparisonReport:
    """What the page is made of."""
    stopped = [text for text in (comparison.stopped_because, comparison.shortage) if text]
    return ComparisonReport(
        title=title,
        name_a=comparison.name_a,
        name_b=comparison.name_b,
        num_pairs=len(comparison.pairs),
        confidence=1 - comparison.levels.alpha,
        finding=decisive(comparison).verdict.value,
        verdict=sentence(comparison),
        rows=[_row(judged, comparison) for judged in comparison.judged],
        settings=settings,
        workload=workload,
        distributions=_distributions(comparison),
        problems=(*stopped, *comparison.excluded),
        notes=comparison.notes,
    )


def decisive(comparison: Comparison) -> Judged:
    """The figure that the exit code comes from: the primary one, unless only another one is worse."""
    primary = comparison.primary_judged
    if primary.verdict is Verdict.WORSE:
        return primary
    return next((judged for judged in comparison.judged if judged.verdict is Verdict.WORSE), primary)


def sentence(comparison: Comparison) -> str:
    """The verdict in one line."""
    judged = decisive(comparison)
    text, b = judged.figure.text, comparison.name_b
    if judged.verdict is Verdict.NOT_MEASURED:
        return f"nothing can be said: {text} was not measured often enough"
    assert judged.difference is not None
    if judged.verdict is Verdict.EQUIVALENT:
        return (
            f"{text} of {b} is equivalent: {difference_text(judged)}, within {comparison.levels.margin:.1%}"
        )
    if judged.verdict is Verdict.NOT_SHOWN:
        return f"no difference of {text} is shown ({difference_text(judged)}); {detectable_text(judged)}"
    return f"{text} of {b} is {judged.verdict.value}: {difference_text(judged)}"


def difference_text(judged: Judged) -> str:
    """Signed, in parts of A; errors in requests of 100."""
    difference = finite(judged.difference)
    if judged.difference is None:
        return "not measured"
    if difference is None:
        return "so many requests failed that the figure has no value"
    if judged.figure.scale == "share":
        return f"{100 * difference:+.2g} of 100 requests"
    return f"{difference:+.1%}"


def detectable_text(judged: Judged) -> str:
    """What would have been found."""
    if judged.detectable is None:
        return "with so few values none could be"
    if judged.figure.scale == "share":
        return f"{100 * judged.detectable:.2g} of 100 requests would have been"
    return f"one of {judged.detectable:.1%} would have been"


def _row(judged: Judged, comparison: Comparison) -> ComparisonRow:
    figure, interval = judged.figure, judged.interval
    differences = (figure.difference(pair.a.value(figure), pair.b.value(figure)) for pair in comparison.pairs)
    return ComparisonRow(
        figure=figure.text,
        unit=figure.unit,
        better=figure.better,
        a=median(comparison.runs_a, figure.name),
        b=median(comparison.runs_b, figure.name),
        difference=finite(judged.difference),
        low=None if interval is None else finite(interval.low),
        high=None if interval is None else finite(interval.high),
        minimum_detectable=finite(judged.detectable),
        finding=judged.verdict.value,
        is_primary=judged.is_primary,
        is_share=figure.scale == "share",
        pair_differences=[
            parts
            for difference in differences
            if difference is not None and (parts := finite(figure.in_parts(difference))) is not None
        ],
    )


def _distributions(comparison: Comparison) -> list[ComparedDistribution]:
    found = []
    for metric in ("ttft", "e2e"):
        values_a, num_a = _joined(comparison.runs_a, metric)
        values_b, num_b = _joined(comparison.runs_b, metric)
        if num_a and num_b:
            found.append(ComparedDistribution(metric, "ms", values_a, num_a, values_b, num_b))
    return found


def _joined(runs: Sequence[RunFigures], metric: str) -> tuple[list[float], int]:
    """Of all runs together: (values, requests to which the metric applies)."""
    parts = [latencies for run in runs for latencies in run.latencies if latencies.metric == metric]
    return [value for part in parts for value in part.values_ms], sum(part.num for part in parts)
