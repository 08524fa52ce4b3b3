"""Whether a request was good enough."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.metrics.asked import is_error, was_asked, was_cut_short
from benchmarks.metrics.base import RequestMetric
from benchmarks.metrics.e2e import E2E
from benchmarks.metrics.tpot import TPOT
from benchmarks.metrics.ttft import TTFT
from benchmarks.records import Record
from configs.workload import Objectives

Limits = Sequence[tuple[RequestMetric, float]]  # (metric, the most milliseconds it may take)


def limits_of(objectives: Objectives) -> Limits:
    """The metrics that have an objective."""
    pairs = ((TTFT, objectives.ttft_ms), (TPOT, objectives.tpot_ms), (E2E, objectives.e2e_ms))
    return [(metric, limit_ms) for metric, limit_ms in pairs if limit_ms is not None]


def meets(record: Record, limits: Limits) -> bool | None:
    """Whether the request meets all limits that apply to it; None where nobody can know.

    A failed request does not. One that the client cut short (its user left as planned, or the run was
    stopped) is judged by what was to be seen until then: a time that was already over its limit is missed,
    one that was met is met, and one that was still open leaves the request unjudged.
    """
    if not was_asked(record):
        return None
    if is_error(record):
        return False
    verdicts = [_meets_one(record, metric, limit_ms) for metric, limit_ms in limits]
    if False in verdicts:
        return False
    return None if None in verdicts else True


def _meets_one(record: Record, metric: RequestMetric, limit_ms: float) -> bool | None:
    if not metric.applies(record):
        # Cut short before there were two tokens: nothing is known of its pace.
        return None if metric is TPOT and record.is_stream and was_cut_short(record) else True
    values = metric.values(record)
    if values:
        return values[0] <= limit_ms
    if not was_cut_short(record):
        return False
    waited_ms = (record.end_ns - record.intended_ns) / 1e6
    return None if waited_ms <= limit_ms else False
