"""The figures of a window's requests: every metric of the catalogue, of one entry of the mix or of all.

Overall percentiles come from the entries' merged histograms. A value that is not defined is None, never 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from benchmarks.errors import BenchmarkError
from benchmarks.metrics.base import Better, RequestMetric, Window
from benchmarks.metrics.catalogue import REQUEST_METRICS, RUN_METRICS
from benchmarks.metrics.itl import ITL
from benchmarks.records import Record
from benchmarks.statistics.histogram import Histogram
from benchmarks.statistics.percentiles import percentiles

_DECIMALS = 6


@dataclass(frozen=True, slots=True)
class Distribution:
    """One metric of requests.

    Args:
        num: values there are; several of a request for itl.
        num_without_value: requests that should have one and have none; they rank as worst.
        percentiles: "p99" -> value; None where it falls among those without, or too few samples resolve it.
        percentiles_of_values_alone: the same as if those without did not exist: second class, to be read only
            beside `num_without_value`.
        mean: of the values alone, as is `max`.
    """

    unit: str
    better: Better
    formula: str
    num: int
    num_without_value: int
    percentiles: dict[str, float | None]
    percentiles_of_values_alone: dict[str, float | None]
    mean: float | None
    max: float | None


@dataclass(frozen=True, slots=True)
class RunValue:
    """One metric of a whole window."""

    unit: str
    better: Better
    formula: str
    value: float | None


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything about the requests of one entry, or of all.

    Args:
        num_requests: that arrived in the window.
        outcomes: how they ended -> how many.
        of_requests: metric -> distribution; without metrics that apply to none of the requests.
        of_run: metric -> value.
    """

    num_requests: int
    outcomes: dict[str, int]
    of_requests: dict[str, Distribution]
    of_run: dict[str, RunValue]


class _Values:
    """All values of one metric."""

    def __init__(self, metric: RequestMetric, records: Sequence[Record]) -> None:
        self.num_asked = self.num_without = 0
        values = np.fromiter(chain.from_iterable(self._each(metric, records)), np.float64)
        self.histogram = Histogram()
        try:
            self.histogram.add(values)
        except ValueError as exc:
            raise BenchmarkError(
                f"the records contradict themselves: {metric.name} of {min(values):g}"
            ) from exc
        self.sum = float(values.sum())
        self.max = float(values.max()) if len(values) else None

    def _each(self, metric: RequestMetric, records: Sequence[Record]) -> Iterator[Sequence[float]]:
        """The values of each request in turn; counts on the way, so that nothing is kept twice."""
        for record in records:
            if metric.applies(record):
                found = metric.values(record)
                self.num_asked += 1
                self.num_without += not found or metric.is_cut_off(record)
                yield found

    @classmethod
    def merged(cls, metric: RequestMetric, parts: Sequence[_Values]) -> _Values:
        merged = cls(metric, ())
        merged.num_asked = sum(part.num_asked for part in parts)
        merged.num_without = sum(part.num_without for part in parts)
        merged.histogram = Histogram.merged(part.histogram for part in parts)
        merged.sum = sum(part.sum for part in parts)
        merged.max = max((part.max for part in parts if part.max is not None), default=None)
        return merged

    def distribution(self, metric: RequestMetric) -> Distribution:
        num = self.histogram.num
        return Distribution(
            unit=metric.unit,
            better=metric.better,
            formula=metric.formula,
            num=num,
            num_without_value=self.num_without,
            percentiles=percentiles(self.histogram, self.num_without, metric.better),
            percentiles_of_values_alone=percentiles(self.histogram, 0, metric.better),
            mean=rounded(self.sum / num) if num else None,
            max=rounded(self.max),
        )


class Part:
    """The requests of one entry, or of all."""

    def __init__(
        self,
        window: Window,
        metrics: Sequence[RequestMetric],
        values: dict[str, _Values] | None = None,
    ) -> None:
        self._window = window
        self._metrics = metrics
        self.values = values or {metric.name: _Values(metric, window.records) for metric in metrics}

    @classmethod
    def merged(cls, window: Window, parts: Sequence[Part], metrics: Sequence[RequestMetric]) -> Part:
        values = {
            metric.name: _Values.merged(metric, [part.values[metric.name] for part in parts])
            for metric in metrics
        }
        return cls(window, metrics, values)

    def figures(self) -> Figures:
        window = self._window
        return Figures(
            num_requests=len(window.records),
            outcomes=dict(sorted(Counter(str(record.outcome) for record in window.records).items())),
            of_requests={
                metric.name: self.values[metric.name].distribution(metric)
                for metric in self._metrics
                if self.values[metric.name].num_asked
            },
            of_run={
                metric.name: RunValue(
                    metric.unit, metric.better, metric.formula, rounded(metric.value(window))
                )
                for metric in RUN_METRICS
            },
        )

    def encoded(self) -> dict[str, str]:
        return {name: values.histogram.encode() for name, values in self.values.items() if values.num_asked}


def measured_metrics(records: Sequence[Record]) -> list[RequestMetric]:
    """Without itl where the run kept no token times: nothing is known then, of failed streams neither."""
    kept = any(record.gaps_us for record in records) or not any(record.num_pieces > 1 for record in records)
    return [metric for metric in REQUEST_METRICS if kept or metric is not ITL]


def rounded(value: float | None) -> float | None:
    return None if value is None else round(value, _DECIMALS)
