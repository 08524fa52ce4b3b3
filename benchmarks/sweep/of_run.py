"""What a finished run says for a sweep. Only this file knows how a run's summary looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from benchmarks.records import Outcome
from benchmarks.run.execute import Run
from benchmarks.run.progress import Progress
from benchmarks.statistics.saturation import saturation_of_samples
from benchmarks.summary.explained import PERCENTILES, Explained
from benchmarks.summary.summarise import ObjectivesResult, Summary
from benchmarks.sweep.points import Point

SATURATED = "over-saturated: "
_NO_ERRORS = (Outcome.OK, Outcome.ABANDONED)


def stop_when_saturated(rate_rps: float) -> Callable[[Progress], str | None]:
    """For `RunOptions.stop_when`: there is nothing to learn from filling a queue for longer."""

    def stop(progress: Progress) -> str | None:
        if progress.at_s > progress.duration_s:
            return None  # what is in flight after the last arrival becomes less by itself
        verdict = saturation_of_samples(progress.samples, offered_rps=rate_rps)
        return SATURATED + verdict.reason if verdict.is_saturated else None

    return stop


def point_of(run: Run, rate_rps: float) -> Point:
    """One point; its folder is the run's own name."""
    summary = run.summary
    # What the stop of a run caught in flight says nothing of the server.
    outcomes = {name: num for name, num in summary.overall.outcomes.items() if name != Outcome.INTERRUPTED}
    num_requests = sum(outcomes.values())
    num_errors = num_requests - sum(outcomes.get(name, 0) for name in _NO_ERRORS)
    stopped_because = run.settings.get("stopped_because")
    was_stopped = isinstance(stopped_because, str) and stopped_because.startswith(SATURATED)
    objectives = summary.objectives
    point = Point(
        rate_rps=rate_rps,
        num_requests=num_requests,
        num_errors=num_errors,
        is_saturated=True if was_stopped else summary.saturation.is_saturated,
        saturation=str(stopped_because) if was_stopped else summary.saturation.reason,
        attainment=None if objectives is None else objectives.attainment,
        objective=None if objectives is None else objectives.required_attainment,
        throughput_rps=summary.value("completed_rate"),
        goodput_rps=None if objectives is None else objectives.goodput_rps,
        latencies_ms={
            name: dict(distribution.percentiles)
            for name, distribution in summary.overall.of_requests.items()
            if name in ("ttft", "tpot", "e2e")
        },
        folder=run.folder.name,
        stopped_because=None if stopped_because is None else str(stopped_because),
        was_interrupted=run.was_interrupted,
    )
    return replace(point, problems=_problems(summary, point))


def _problems(summary: Summary, point: Point) -> tuple[str, ...]:
    """What the client did that could change the verdict on this rate.

    A late client makes latencies look worse. So it casts no doubt on objectives that were met all the same, nor,
    by its milliseconds, on a queue that grows; only on a limit that is missed with its delays and met without.
    """
    certification = summary.certification
    of_figures = {figure.text for figure in certification.figures}
    load = tuple(reason for reason in certification.reasons if reason not in of_figures)
    if summary.objectives is None or point.is_attained or not point.is_sustained:
        return load
    return (*load, *_spoilt(certification.figures, summary.objectives))


def _spoilt(figures: Sequence[Explained], objectives: ObjectivesResult) -> Iterator[str]:
    """Of the percentile next to the share that should meet the objectives."""
    nearest = min(PERCENTILES, key=lambda percentile: abs(percentile - 100 * objectives.required_attainment))
    for figure in figures:
        metric, percentile = figure.figure.split(" ")[-2:]  # "ttft p95", or "chat ttft p95" in a mix
        limit_ms = objectives.limits_ms.get(metric)
        if limit_ms is not None and percentile == f"p{nearest}":
            without_client_ms = figure.value_ms - figure.dispatch_ms - figure.lag_ms
            if without_client_ms <= limit_ms < figure.value_ms:
                yield f"{figure.text}: without it the objective of {limit_ms:g} ms would be met"
