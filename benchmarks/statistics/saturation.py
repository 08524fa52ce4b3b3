"""Whether a system is over-saturated: more arrives than it can answer, so that no latency is the last word.

Two signs, either of which is enough:
- The number in flight grows. Once a stable system has filled (after `settle_s`), its number in flight goes up
  and down around a level; an over-saturated one's grows by (offered - answered) every second. So the growth
  of each second is taken, and Wilcoxon's signed-rank test asks whether it is above 0; its centre (Hodges and
  Lehmann) must be 3 % of the offered rate, in the later half as well. Ranks of seconds, because a single stall
  makes some seconds' growth huge and leaves the others at or below 0. Growth of seconds rather than a slope
  through the number in flight, because that wanders like a random walk in which slopes look significant.
- The server sheds load: in most seconds more than 5 % of the requests are refused or time out. Then the number
  in flight may well be level.

Both need steady arrivals. Simulated M/M/10 queues, asked every second: 1.1 times the capacity is found at
200 requests/s in 20 s and sooner, at 100 requests/s mostly within 30 s, at 10 requests/s hardly ever, because in so
short a run Poisson arrivals alone look the same; 1.3 times is found in 10 to 20 s. At 0.95 times and below, and with a
stall of 3 s, there is no alarm. tests/unit/benchmarks/statistics simulates all of this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.records import ClientSample, Outcome, Record
from benchmarks.statistics.trend import Floats, hodges_lehmann, mann_kendall_z, signed_rank_z

Ints = npt.NDArray[np.int64]

MIN_GROWTH = 0.03  # of the offered rate
GROWTH_Z = 2.0
MIN_STEPS = 8  # seconds of growth to judge
MAX_STEPS = 120
MAX_SHED = 0.05
# Latencies that rise along with the number in flight tell a queue from answers that merely take long.
RISING_Z = 2.33

_SHED = frozenset({Outcome.REFUSED, Outcome.TIMEOUT})


@dataclass(frozen=True, slots=True)
class Saturation:
    """A verdict.

    Args:
        is_saturated: None: it cannot be told, and `reason` says why.
        reason: one line.
        growth_rps: by how much the number in flight grew each second; None: not judged.
    """

    is_saturated: bool | None
    reason: str
    growth_rps: float | None = None


def saturation(
    in_flight: Sequence[tuple[float, float]], *, offered_rps: float, settle_s: float
) -> Saturation:
    """Judge the number in flight over time.

    Args:
        in_flight: (seconds after the start, number in flight), in the order of time, about once a second.
        settle_s: when a stable system has filled: the longest time that a request takes without a queue. What
            comes before is not judged, because at its start every system's number in flight grows.
    """
    series = _thinned(np.array(in_flight, dtype=np.float64).reshape(-1, 2), settle_s)
    if len(series) <= MIN_STEPS:
        return Saturation(
            None, f"too few seconds after the first {settle_s:.1f} s to judge the number in flight"
        )
    growth = np.diff(series[:, 1]) / np.diff(series[:, 0])
    centre, later = hodges_lehmann(growth), hodges_lehmann(growth[len(growth) // 2 :])
    is_growing = signed_rank_z(growth) > GROWTH_Z and min(centre, later) > MIN_GROWTH * offered_rps
    share = centre / offered_rps if offered_rps > 0 else 0.0
    if is_growing:
        why = f"the number in flight grows by {centre:.3g} a second, {share:.0%} of the offered {offered_rps:.4g}"
        return Saturation(is_saturated=True, reason=why, growth_rps=centre)
    return Saturation(
        is_saturated=False, reason="the number in flight does not keep growing", growth_rps=centre
    )


def saturation_of_records(records: Sequence[Record], end_s: float) -> Saturation:
    """Judge a run afterwards; requests arrive steadily in [0, end_s).

    `settle_s` is how long the slowest of the first tenth of the requests took, the queue they made included.
    """
    arrived = sorted(
        (record for record in records if record.intended_ns < end_s * 1e9),
        key=lambda record: record.intended_ns,
    )
    if not arrived or end_s <= 0:
        return Saturation(is_saturated=None, reason="no requests")
    arrivals_s = np.array([record.intended_ns for record in arrived]) / 1e9
    ends_s = np.array([record.end_ns for record in arrived]) / 1e9
    shed = _shedding(
        (arrivals_s * MAX_STEPS / max(end_s, MAX_STEPS)).astype(np.int64),
        np.array([float(record.outcome in _SHED) for record in arrived]),
    )
    if shed is not None:
        return shed
    took_s = ends_s - arrivals_s
    settle_s = float(took_s[: max(20, len(arrived) // 10)].max())
    if settle_s > end_s / 2:
        return _by_latency(took_s, settle_s)
    grid = np.linspace(0.0, end_s, int(min(MAX_STEPS, end_s)) + 1)
    in_flight = np.searchsorted(arrivals_s, grid, side="right") - np.searchsorted(
        np.sort(ends_s), grid, side="right"
    )
    offered_rps = len(arrived) / end_s
    return saturation(
        list(zip(grid.tolist(), in_flight.tolist(), strict=True)), offered_rps=offered_rps, settle_s=settle_s
    )


def saturation_of_samples(
    samples: Sequence[ClientSample], *, offered_rps: float, settle_s: float | None = None
) -> Saturation:
    """Judge a run while it goes on, from what its workers have said so far.

    Args:
        settle_s: as for `saturation`; a sweep knows it from the rate before. None: the first half of the time
            is left out, and ttft must rise as well, so that long answers are not taken for a queue.
    """
    seconds = _by_second(samples)
    shed = _shed_by_second(seconds)
    if shed is not None:
        return shed
    in_flight = [(at_s, sum(s.num_in_flight for s in of_all)) for at_s, of_all in seconds]
    if settle_s is not None or not in_flight:
        return saturation(in_flight, offered_rps=offered_rps, settle_s=settle_s or 0.0)
    half_s = in_flight[-1][0] / 2
    medians = [
        float(np.median(ttft_ms))
        for at_s, of_all in seconds
        if at_s >= half_s and (ttft_ms := [ms for sample in of_all for ms in sample.ttft_ms])
    ]
    verdict = saturation(in_flight, offered_rps=offered_rps, settle_s=half_s)
    is_timed = any(sample.ttft_ms for sample in samples)
    if verdict.is_saturated and is_timed and mann_kendall_z(medians) <= RISING_Z:
        why = "the number in flight grows, but ttft does not: requests may just take long"
        return Saturation(is_saturated=None, reason=why, growth_rps=verdict.growth_rps)
    return verdict


def _thinned(series: Floats, settle_s: float) -> Floats:
    """(n, 2) -> at most MAX_STEPS + 1 rows, from `settle_s` on."""
    rest = series[series[:, 0] >= settle_s]
    if len(rest) <= MAX_STEPS + 1:
        return rest
    return rest[np.linspace(0, len(rest) - 1, MAX_STEPS + 1).round().astype(np.int64)]


def _shedding(bins: Ints, is_shed: Floats) -> Saturation | None:
    """Whether most bins shed more than a little; requests are given by their bin."""
    present, group = np.unique(bins, return_inverse=True)
    share = np.bincount(group, weights=is_shed) / np.bincount(group)
    typical = float(np.median(share))
    if len(present) < 3 or typical <= MAX_SHED:
        return None
    return Saturation(
        is_saturated=True,
        reason=f"in most seconds {typical:.0%} of the requests and more are refused or time out",
    )


def _shed_by_second(seconds: Sequence[tuple[float, Sequence[ClientSample]]]) -> Saturation | None:
    bins: list[int] = []
    is_shed: list[float] = []
    for number, (_, of_all) in enumerate(seconds):
        for sample in of_all:
            for outcome, num in sample.num_outcomes.items():
                bins.extend([number] * num)
                is_shed.extend([float(outcome in _SHED)] * num)
    return _shedding(np.array(bins), np.array(is_shed)) if bins else None


def _by_latency(took_s: Floats, settle_s: float) -> Saturation:
    """For requests that take longer than half the run: a queue makes each later one slower still."""
    parts = [float(np.median(part)) for part in np.array_split(took_s, 20) if len(part)]
    later, earlier = float(np.median(parts[-5:])), float(np.median(parts[:5]))
    if mann_kendall_z(parts) > RISING_Z and later > 2 * earlier:
        return Saturation(
            is_saturated=True, reason=f"e2e keeps rising, from {earlier:.2f} s to {later:.2f} s"
        )
    return Saturation(
        is_saturated=None, reason=f"requests take up to {settle_s:.1f} s, too long for a run of this length"
    )


def _by_second(samples: Sequence[ClientSample]) -> list[tuple[float, list[ClientSample]]]:
    """[(seconds, the workers' samples)] of every second that all workers have told of."""
    workers = {sample.worker for sample in samples}
    found: dict[int, dict[int, ClientSample]] = {}  # second -> worker -> sample
    for sample in samples:
        found.setdefault(round(sample.at_s), {})[sample.worker] = sample
    return [
        (float(second), list(of_all.values()))
        for second, of_all in sorted(found.items())
        if of_all.keys() == workers
    ]
