"""What reports are made of, as plain data: whoever measured fills these, and the pages only draw them.

A figure that is not defined is None everywhere. In a `Quantiles` None says that so many requests failed
that this percentile is one of theirs, or that there was nothing to take a percentile of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from benchmarks.records import ClientSample, Record
from benchmarks.summary.summarise import Summary
from configs.workload import Workload

Quantiles = Mapping[str, float | None]  # "p50", "p90", "p95", "p99", "p99.9" -> value


class RunLike(Protocol):
    """What a run's page needs; `benchmarks.run.execute.Run` is one."""

    @property
    def folder(self) -> Path: ...

    @property
    def workload(self) -> Workload: ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """What run.json holds."""
        ...

    @property
    def records(self) -> Sequence[Record]: ...

    @property
    def samples(self) -> Sequence[ClientSample]: ...

    @property
    def summary(self) -> Summary: ...


# ---------------------------------------------------------------- sweep


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """One rate of a sweep, as its run's summary has it.

    Args:
        offered_rps: what the schedule asked for, requests per second.
        throughput_rps: requests per second that ended well.
        goodput_rps: requests per second that met the objectives; None: the workload has none.
        attainment: share of the requests that met the objectives, 0 to 1; None: the workload has none.
        latencies_ms: metric ("ttft", "e2e") -> its percentiles, from the intended arrival.
        num_requests: of the measured window.
        num_errors: of those, ended neither well nor abandoned as planned.
        is_saturated: the server fell behind the rate; None: the run was too short to tell, and `saturation` says why.
        problems: why the client's own figures make the run invalid; empty: it is valid.
        link: the run's own report, relative to the sweep's; None: not kept.
    """

    offered_rps: float
    throughput_rps: float | None
    goodput_rps: float | None
    attainment: float | None
    latencies_ms: Mapping[str, Quantiles]
    num_requests: int
    num_errors: int
    is_saturated: bool | None
    saturation: str = ""
    problems: tuple[str, ...] = ()
    link: str | None = None


@dataclass(frozen=True, slots=True)
class SweepReport:
    """A sweep over rates.

    Args:
        points: in any order; the page sorts them by rate.
        knee_rps: highest offered rate that the server kept up with; None: not found.
        best_rps: highest offered rate at which the objectives were attained; None: at none, or no objectives.
        stopped_because: why it ended where it did, one sentence.
        settings: what was run, as a run's settings.
    """

    title: str
    workload: Workload
    points: Sequence[SweepPoint]
    knee_rps: float | None
    best_rps: float | None
    stopped_because: str
    settings: Mapping[str, Any]


# ---------------------------------------------------------------- comparison

# Of B against A; the values of `benchmarks.compare.decide.Verdict`.
Finding = Literal["better", "worse", "equivalent", "no difference shown", "not measured"]


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """One figure of A and B over all runs. Differences are B minus A, in parts of A (0.05 is 5 %).

    Args:
        figure: "ttft p95", for example.
        better: which direction is an improvement.
        a, b: the medians of the runs.
        low, high: the interval in which the difference lies with the report's confidence.
        minimum_detectable: smallest difference that so many runs would show, in parts of A.
        is_primary: the figure that the comparison was made for.
        is_share: the figure is a share of requests, and so are its differences: 0.05 is 5 of 100.
        pair_differences: one a pair, in the order in which they ran.
    """

    figure: str
    unit: str
    better: Literal["lower", "higher"]
    a: float | None
    b: float | None
    difference: float | None
    low: float | None
    high: float | None
    minimum_detectable: float | None
    finding: Finding
    is_primary: bool = False
    is_share: bool = False
    pair_differences: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class ComparedDistribution:
    """Every value of one metric on both sides, for the percentile curves.

    Args:
        num_a, num_b: requests to which the metric applies; those without a value failed first.
    """

    metric: str
    unit: str
    values_a: Sequence[float]
    num_a: int
    values_b: Sequence[float]
    num_b: int


@dataclass(frozen=True, slots=True)
class ComparisonReport:
    """B against A.

    Args:
        name_a, name_b: how a reader tells them apart.
        num_pairs: interleaved pairs of runs that count; 0: the runs were made at different times.
        confidence: of the intervals, 0 to 1.
        finding: of the primary figure, or of the worst one.
        verdict: one sentence, for example "B is slower: ttft p95 by 4.8 %".
        problems: why pairs or runs do not count, or the comparison ended early; one line each.
        notes: what a reader should know before believing the figures; one line each.
    """

    title: str
    name_a: str
    name_b: str
    num_pairs: int
    confidence: float
    finding: Finding
    verdict: str
    rows: Sequence[ComparisonRow]
    settings: Mapping[str, Any]
    workload: Workload | None = None
    distributions: Sequence[ComparedDistribution] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


# ---------------------------------------------------------------- suite


@dataclass(frozen=True, slots=True)
class ObjectiveRow:
    """One objective of a scenario: `text` is for a reader ("ttft p95 at most 500 ms"), `measured` too."""

    text: str
    measured: str
    is_met: bool


@dataclass(frozen=True, slots=True)
class SuiteRow:
    """One scenario of a suite.

    Args:
        run: drawn below the table when the reader opens the scenario; None: it never ran.
        problem: why it did not run, or why its figures do not count; None: nothing is wrong.
        events: seconds after the run's start -> what was done to the server then ("replica killed").
        link: the run's own report, relative to the suite's.
    """

    name: str
    description: str
    objectives: Sequence[ObjectiveRow]
    run: RunLike | None = None
    problem: str | None = None
    events: Mapping[float, str] | None = None
    link: str | None = None

    @property
    def is_passed(self) -> bool:
        """Whether it ran, its figures count, and all its objectives were met."""
        return self.problem is None and self.run is not None and all(row.is_met for row in self.objectives)


@dataclass(frozen=True, slots=True)
class SuiteReport:
    """All scenarios of one suite against one server."""

    title: str
    rows: Sequence[SuiteRow]
    settings: Mapping[str, Any]
