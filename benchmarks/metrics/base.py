"""What a metric is. A value that is not defined is absent: never a 0 that stands in for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.records import Record

Better = Literal["lower", "higher"]


@dataclass(frozen=True, slots=True)
class RequestMetric:
    """A metric that a request has once (ttft), many times (itl) or not at all.

    Args:
        unit: "ms", "tokens", "tokens/s".
        formula: in the words of a record's fields.
        applies: whether the request should have the metric at all; an embedding has no ttft.
        values: of one request. Empty where it is undefined. A request to which the metric applies and
            that has no value (it failed first) counts as worse than every value in percentiles.
    """

    name: str
    unit: str
    better: Better
    formula: str
    applies: Callable[[Record], bool]
    values: Callable[[Record], Sequence[float]]


@dataclass(frozen=True, slots=True)
class Window:
    """The records whose intended arrival is in [start_s, end_s), and how long that is.

    `end_s` is where arrivals end, not where the last answer does.
    """

    records: Sequence[Record]
    start_s: float
    end_s: float

    @property
    def seconds(self) -> float:
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True)
class RunMetric:
    """A metric of a whole window (throughput, goodput); None where it is not defined."""

    name: str
    unit: str
    better: Better
    formula: str
    value: Callable[[Window], float | None]
