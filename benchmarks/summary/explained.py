"""What of each headline figure the client itself could explain; the method is told in `certification`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from benchmarks.metrics.asked import num_tokens
from benchmarks.metrics.base import RequestMetric
from benchmarks.metrics.dispatch_delay import delay_ms
from benchmarks.metrics.e2e import E2E
from benchmarks.metrics.itl import ITL
from benchmarks.metrics.tpot import TPOT
from benchmarks.metrics.ttft import TTFT
from benchmarks.records import Record
from benchmarks.statistics.histogram import rank_of
from benchmarks.statistics.percentiles import UPPER
from benchmarks.statistics.trend import Floats
from benchmarks.summary.client_lag import ClientLag

PERCENTILES = (50, 95, 99)


@dataclass(frozen=True, slots=True)
class Explained:
    """One headline figure and what of it the client could explain, in milliseconds and as a share of it."""

    figure: str  # "ttft p99", or "chat ttft p99" in a mix
    value_ms: float
    dispatch_ms: float
    lag_ms: float
    share: float

    @property
    def text(self) -> str:
        """One line for people."""
        client_ms = self.dispatch_ms + self.lag_ms
        return (
            f"{self.figure} is {self.value_ms:.2f} ms, of which the client could explain {client_ms:.2f} ms "
            f"({self.share:.1%}): {self.dispatch_ms:.2f} ms by late dispatch, {self.lag_ms:.2f} ms by a late event loop"
        )


@dataclass(frozen=True, slots=True)
class _Values:
    """The values of one metric, (n,) each, with what made them late."""

    ms: Floats
    dispatch_ms: Floats
    workers: np.ndarray[tuple[int], np.dtype[np.int64]]
    at_s: Floats  # when the value was made
    shared_by: Floats  # over how many tokens a lag is spread


def explain(records: Sequence[Record], lag: ClientLag) -> tuple[Explained, ...]:
    """All headline figures that have a value, by entry of the mix and metric."""
    entries = list(dict.fromkeys(record.entry for record in records))
    found: list[Explained] = []
    for entry in entries:
        of_entry = [record for record in records if record.entry == entry]
        prefix = f"{entry} " if len(entries) > 1 else ""
        for metric, collect in _COLLECTORS:
            asked = [record for record in of_entry if metric.applies(record)]
            without = sum(not metric.values(record) or metric.is_cut_off(record) for record in asked)
            found += _explained(prefix + metric.name, collect(asked), without, lag)
    return tuple(found)


def _explained(name: str, values: _Values, num_without_value: int, lag: ClientLag) -> Iterator[Explained]:
    rows = lag.rows(values.workers, values.at_s)
    total = len(values.ms) + num_without_value
    sent_in_time = values.ms - values.dispatch_ms
    for percentile in PERCENTILES:
        position = rank_of(percentile, total) - 1
        if total < UPPER[percentile] or position >= len(values.ms):
            continue
        relieved = np.maximum(0.0, sent_in_time - lag.late_ms(rows, percentile) / values.shared_by)
        as_is, less_dispatch, less_both = (
            float(np.partition(column, position)[position]) for column in (values.ms, sent_in_time, relieved)
        )
        if as_is > 0:
            yield Explained(
                figure=f"{name} p{percentile}",
                value_ms=round(as_is, 6),
                dispatch_ms=round(as_is - less_dispatch, 6),
                lag_ms=round(less_dispatch - less_both, 6),
                share=round((as_is - less_both) / as_is, 6),
            )


def _collected(
    records: Sequence[Record], ms: list[float], at_ns: list[int], *, is_from_arrival: bool
) -> _Values:
    delays = [delay_ms(record) or 0.0 for record in records] if is_from_arrival else [0.0] * len(records)
    return _Values(
        np.array(ms, dtype=np.float64),
        np.array(delays, dtype=np.float64),
        np.array([record.worker for record in records], dtype=np.int64),
        np.array(at_ns, dtype=np.float64) / 1e9,
        np.ones(len(records)),
    )


def _ttft(records: Sequence[Record]) -> _Values:
    timed = [record for record in records if TTFT.values(record)]
    moments = [record.first_token_ns or 0 for record in timed]
    return _collected(timed, [TTFT.values(record)[0] for record in timed], moments, is_from_arrival=True)


def _e2e(records: Sequence[Record]) -> _Values:
    timed = [record for record in records if E2E.values(record)]
    moments = [record.end_ns for record in timed]
    return _collected(timed, [E2E.values(record)[0] for record in timed], moments, is_from_arrival=True)


def _tpot(records: Sequence[Record]) -> _Values:
    timed = [record for record in records if TPOT.values(record)]
    moments = [record.last_token_ns or 0 for record in timed]
    values = _collected(timed, [TPOT.values(record)[0] for record in timed], moments, is_from_arrival=False)
    values.shared_by[:] = [(num_tokens(record) or 2) - 1 for record in timed]
    return values


def _itl(records: Sequence[Record]) -> _Values:
    timed = [record for record in records if record.gaps_us]
    counts = np.array([len(record.gaps_us) for record in timed], dtype=np.int64)
    gaps_us = np.fromiter(
        chain.from_iterable(record.gaps_us for record in timed), np.float64, int(counts.sum())
    )
    totals_us = np.cumsum(gaps_us)
    before_us = totals_us[np.cumsum(counts) - counts] - gaps_us[np.cumsum(counts) - counts]
    first_us = np.array([(record.first_token_ns or 0) / 1e3 for record in timed])
    return _Values(
        gaps_us / 1e3,
        np.zeros(len(gaps_us)),
        np.repeat(np.array([record.worker for record in timed], dtype=np.int64), counts),
        (totals_us + np.repeat(first_us - before_us, counts)) / 1e6,
        np.ones(len(gaps_us)),
    )


_COLLECTORS: tuple[tuple[RequestMetric, Callable[[Sequence[Record]], _Values]], ...] = (
    (TTFT, _ttft),
    (ITL, _itl),
    (TPOT, _tpot),
    (E2E, _e2e),
)
