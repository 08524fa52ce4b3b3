"""What a finished run says for a comparison. Only this file knows how a run's summary looks."""

from __future__ import annotations

import math
from collections.abc import Iterator

from benchmarks.compare.figures import FIGURES, Latencies, RunFigures
from benchmarks.metrics.e2e import E2E
from benchmarks.metrics.ttft import TTFT
from benchmarks.run.execute import Run
from benchmarks.statistics.histogram import rank_of
from benchmarks.statistics.percentiles import UPPER
from benchmarks.summary.certification import MAX_SHARE, Certification
from benchmarks.summary.summarise import Summary


def figures_of(run: Run) -> RunFigures:
    """Latencies of all entries of the mix together; none of a closed loop, which does not measure them."""
    summary = run.summary
    values: dict[str, float | None] = {
        "completed_rate": summary.value("completed_rate"),
        "error_rate": summary.value("error_rate"),
    }
    if summary.latencies_are_headline:
        for figure in FIGURES:
            if figure.name not in values:
                values[figure.name] = _percentile(summary, *figure.name.split("_"))
    return RunFigures(
        values=values,
        problems=tuple(_problems(summary.certification)),
        doubts=dict(_doubts(summary.certification)),
        is_saturated=summary.saturation.is_saturated is True,
        was_interrupted=run.was_interrupted,
        latencies=tuple(_latencies(run)) if summary.latencies_are_headline else (),
    )


def _percentile(summary: Summary, metric: str, name: str) -> float | None:
    """Infinite where it falls among requests that failed, which is not the same as undefined."""
    distribution = summary.overall.of_requests.get(metric)
    if distribution is None:
        return None
    percentile = float(name.removeprefix("p"))
    total = distribution.num + distribution.num_without_value
    if total >= UPPER[percentile] and rank_of(percentile, total) > distribution.num:
        return math.inf
    return distribution.percentiles[name]


def _problems(certification: Certification) -> Iterator[str]:
    """Reasons against the run as a whole; those against single figures are doubts."""
    of_figures = {figure.text for figure in certification.figures}
    return (reason for reason in certification.reasons if reason not in of_figures)


def _doubts(certification: Certification) -> Iterator[tuple[str, str]]:
    for explained in certification.figures:
        # "ttft p50", or "chat ttft p50" in a mix.
        metric, percentile = explained.figure.split(" ")[-2:]
        if explained.share > MAX_SHARE:
            yield f"{metric}_{percentile}", explained.text


def _latencies(run: Run) -> Iterator[Latencies]:
    window = run.summary.window
    for metric in (TTFT, E2E):
        asked = [
            record
            for record in run.records
            if window.start_s * 1e9 <= record.intended_ns < window.end_s * 1e9 and metric.applies(record)
        ]
        if asked:
            values = tuple(value for record in asked for value in metric.values(record))
            yield Latencies(metric.name, values, len(asked))
