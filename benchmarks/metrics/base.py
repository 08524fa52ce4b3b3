"""What a metric is. A value that is not defined is absent: never a 0 that stands in for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.records import Record
from configs.workload import Objectives

Better = Literal["lower", "higher"]
NO_OBJECTIVES = Objectives()


def _never(_: Record) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class RequestMetric:
    """A metric that a request has once (ttft), many times (itl) or not at all.

    Args:
        unit: "ms", "tokens", "tokens/s".
        formula: in the words of a record's fields.
        applies: whether the request should have the metric at all; an embedding has no ttft.
        values: of one request. Empty where it is undefined. A request to which the metric applies and
            that has no value (it failed first) counts as worse than every value in percentiles.
        undefined: when a request has no value, for the documentation.
        is_cut_off: whether a further value was due that never came, besides those there are: the next
            gap of a stream that broke. It counts once as worse than every value.
    """

    name: str
    unit: str
    better: Better
    formula: str
    applies: Callable[[Record], bool]
    values: Callable[[Record], Sequence[float]]
    undefined: str = ""
    is_cut_off: Callable[[Record], bool] = _never


@dataclass(frozen=True, slots=True)
class Window:
    """The records whose intended arrival is in [start_s, end_s), and how long that is.

    `end_s` is where arrivals end, not where the last answer does.

    Args:
        records: of the requests that arrived in the window; rates of requests and goodput are theirs.
        all_records: of all requests, for what happened within the window whoever had asked: throughput.
        objectives: what a request has to meet to count as good.
    """

    records: Sequence[Record]
    start_s: float
    end_s: float
    all_records: Sequence[Record] = ()
    objectives: Objectives = NO_OBJECTIVES

    @property
    def seconds(self) -> float:
        return self.end_s - self.start_s

    def holds(self, at_ns: int) -> bool:
        """Whether the moment is in [start_s, end_s)."""
        return self.start_s * 1e9 <= at_ns < self.end_s * 1e9


@dataclass(frozen=True, slots=True)
class RunMetric:
    """A metric of a whole window (throughput, goodput); None where it is not defined."""

    name: str
    unit: str
    better: Better
    formula: str
    value: Callable[[Window], float | None]
    undefined: str = ""
