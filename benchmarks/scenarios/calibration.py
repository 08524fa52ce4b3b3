"""How fast the server is for one kind of request, from two short closed loops: alone, and all at once.

The rates and the objectives of the scenarios follow from it where nobody gave them. It is short and
knows it: `sweep` measures capacity, this only finds a rate at which a scenario is worth while.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.errors import BadTarget
from benchmarks.metrics.base import RequestMetric
from benchmarks.metrics.e2e import E2E
from benchmarks.metrics.tpot import TPOT
from benchmarks.metrics.ttft import TTFT
from benchmarks.records import Outcome, Record
from configs.workload import ClosedLoop, LoadRequest, Objectives, Workload

Measure = Callable[[Workload], Sequence[Record]]

# An objective made from an idle server's times: so many times those, and not below what a person notices
# or a shared machine's scheduler takes.
SLACK = 5.0
LEAST_TTFT_MS, LEAST_TPOT_MS, LEAST_E2E_MS = 250.0, 50.0, 500.0


@dataclass(frozen=True, slots=True)
class Pace:
    """What the server does of one kind of request.

    Args:
        capacity_rps: requests per second with `concurrency` in flight.
        ttft_ms, tpot_ms, e2e_ms: medians with one in flight; None: it has no such time.
    """

    concurrency: int
    capacity_rps: float
    ttft_ms: float | None
    tpot_ms: float | None
    e2e_ms: float

    def objectives(self, attainment: float) -> Objectives:
        """Objectives that an idle server meets with ease."""
        return Objectives(
            ttft_ms=_limit(self.ttft_ms, LEAST_TTFT_MS),
            tpot_ms=_limit(self.tpot_ms, LEAST_TPOT_MS),
            e2e_ms=_limit(self.e2e_ms, LEAST_E2E_MS) if self.ttft_ms is None else None,
            attainment=attainment,
        )


def find_pace(
    request: LoadRequest, concurrency: int, seconds: float, timeout_s: float, measure: Measure
) -> Pace:
    """The pace of one kind of request; takes twice `seconds`, and until the last answers end.

    Raises:
        BadTarget: not one request ended well.
    """
    alone = _ended_well(measure(_closed(request, 1, seconds, timeout_s)))
    together = (
        _ended_well(measure(_closed(request, concurrency, seconds, timeout_s))) if concurrency > 1 else alone
    )
    return Pace(
        concurrency=concurrency,
        capacity_rps=max(_rate_rps(alone), _rate_rps(together)),
        ttft_ms=_median(TTFT, alone),
        tpot_ms=_median(TPOT, alone),
        e2e_ms=statistics.median(value for record in alone for value in E2E.values(record)),
    )


def _closed(request: LoadRequest, concurrency: int, seconds: float, timeout_s: float) -> Workload:
    return Workload(
        name=f"calibration-{request.label}",
        duration_s=seconds,
        arrivals=ClosedLoop(process="closed", concurrency=concurrency),
        requests=(request,),
        warm_up_s=0.0,
        timeout_s=timeout_s,
    )


def _ended_well(records: Sequence[Record]) -> list[Record]:
    ended_well = [record for record in records if record.outcome is Outcome.OK]
    if not ended_well:
        reasons = [f"{record.outcome.value} {record.detail}".strip() for record in records]
        raise BadTarget(
            f"no request ended well while the rate was looked for: {(reasons or ['none ended'])[0]}"
        )
    return ended_well


def _rate_rps(records: Sequence[Record]) -> float:
    """Until the last answer, because the loop of a slow server outlasts its seconds."""
    return len(records) / (max(record.end_ns for record in records) / 1e9)


def _median(metric: RequestMetric, records: Sequence[Record]) -> float | None:
    values = [value for record in records if metric.applies(record) for value in metric.values(record)]
    return statistics.median(values) if values else None


def _limit(idle_ms: float | None, least_ms: float) -> float | None:
    return None if idle_ms is None else float(round(max(SLACK * idle_ms, least_ms)))
