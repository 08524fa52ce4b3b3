"""Which part of a run the figures are of: after the warm-up, until arrivals end.

Knows nothing of metrics; says why it cut what it cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.records import Outcome, Record
from benchmarks.statistics.steady_state import steady_state
from configs.workload import RampArrivals, StepArrivals, TraceArrivals, Workload


@dataclass(frozen=True, slots=True)
class MeasuredWindow:
    """The figures are of requests whose intended arrival is in [start_s, end_s).

    Args:
        is_settled: whether the system was in a steady state from `start_s` on; None: not judged.
        reason: why the window starts where it does, one line.
    """

    start_s: float
    end_s: float
    is_settled: bool | None
    reason: str


def has_steady_arrivals(workload: Workload) -> bool:
    """Whether the rate of arrivals is meant to stay the same, so that trends are the system's."""
    return not isinstance(workload.arrivals, (RampArrivals, StepArrivals, TraceArrivals))


def measured_window(records: Sequence[Record], workload: Workload, arrivals_end_s: float) -> MeasuredWindow:
    """The workload's own warm-up, or what the slope test finds; at most half the run where it is `auto`."""
    end_s = _end_s(records, arrivals_end_s)
    if not isinstance(workload.warm_up_s, str):
        if workload.warm_up_s < end_s:
            return MeasuredWindow(workload.warm_up_s, end_s, None, "the workload's warm_up_s")
        why = f"the run ended within its warm-up of {workload.warm_up_s:g} s: nothing is cut"
        return MeasuredWindow(0.0, end_s, is_settled=False, reason=why)
    if not has_steady_arrivals(workload):
        why = f"the arrivals ({workload.arrivals.process}) change over time: nothing is cut"
        return MeasuredWindow(0.0, end_s, None, why)
    steady = steady_state(records, end_s)
    return MeasuredWindow(steady.start_s, end_s, steady.is_settled, steady.reason)


def _end_s(records: Sequence[Record], arrivals_end_s: float) -> float:
    """Where arrivals end; in a run that was stopped, so much earlier that 99 % could have ended by themselves.

    What the stop caught in flight within the window counts as without values. Without this step back it
    would be all that arrived in the last moments, however fast the server is.
    """
    stops_ns = [record.end_ns for record in records if _was_stopped(record)]
    took_ns = [record.end_ns - record.intended_ns for record in records if record.outcome is Outcome.OK]
    if not stops_ns or not took_ns:
        return arrivals_end_s
    last_s = (max(stops_ns) - float(np.quantile(took_ns, 0.99))) / 1e9
    return max(arrivals_end_s / 2, min(arrivals_end_s, last_s))


def _was_stopped(record: Record) -> bool:
    return record.outcome is Outcome.INTERRUPTED and record.sent_ns is not None
