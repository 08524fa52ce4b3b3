"""What is compared: one figure a run for each metric, and on which scale two runs are subtracted.

Knows nothing of tests or verdicts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from benchmarks.errors import BenchmarkError

Better = Literal["lower", "higher"]
Scale = Literal["ratio", "share"]  # differences of logarithms; differences of shares of requests


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure that every run has once.

    Args:
        name: of a run's figures, "ttft_p50".
        text: for a reader, "ttft p50".
    """

    name: str
    text: str
    unit: str
    better: Better
    scale: Scale = "ratio"

    def difference(self, a: float | None, b: float | None) -> float | None:
        """B minus A on the figure's scale, natural logarithms or shares; None: nothing to subtract.

        An infinite value is a percentile that only failed requests have, and makes an infinite difference.
        """
        if a is None or b is None or a == b == math.inf:
            return None
        if self.scale == "share":
            return b - a
        if a == b:  # two zeros, too
            return 0.0
        return _log(b) - _log(a)

    def on_scale(self, value: float) -> float:
        return value if self.scale == "share" else _log(value)

    def in_parts(self, difference: float) -> float:
        """A difference as a reader knows it: 0.05 is 5 % of A, or 5 requests more of 100."""
        return difference if self.scale == "share" else _expm1(difference)

    def is_worse(self, difference: float) -> bool:
        return difference > 0 if self.better == "lower" else difference < 0


# The order of a report. The first that a workload has is the primary one: what a user waits for first, and
# of all latencies the one that few requests estimate best.
FIGURES = (
    Figure("ttft_p50", "ttft p50", "ms", "lower"),
    Figure("e2e_p50", "e2e p50", "ms", "lower"),
    Figure("ttft_p95", "ttft p95", "ms", "lower"),
    Figure("itl_p50", "itl p50", "ms", "lower"),
    Figure("tpot_p50", "tpot p50", "ms", "lower"),
    Figure("e2e_p95", "e2e p95", "ms", "lower"),
    Figure("completed_rate", "completed rate", "requests/s", "higher"),
    Figure("error_rate", "error rate", "", "lower", scale="share"),
)


def figure_named(name: str) -> Figure:
    """The figure.

    Raises:
        BenchmarkError: none is called so.
    """
    for figure in FIGURES:
        if figure.name == name:
            return figure
    raise BenchmarkError(f"no figure is called {name!r}; there are {', '.join(f.name for f in FIGURES)}")


@dataclass(frozen=True, slots=True)
class Latencies:
    """Every value of one metric of a run, for curves; nothing is decided by them.

    Args:
        num: requests to which the metric applies; those without a value failed first.
    """

    metric: str
    values_ms: tuple[float, ...]
    num: int


@dataclass(frozen=True, slots=True)
class RunFigures:
    """What one run says for a comparison.

    Args:
        values: name of a figure -> its value. None, or no entry: it is not defined (an embedding has no
            ttft). Infinite: so many requests failed that the percentile is one of theirs.
        problems: why the run as a whole is invalid, by the client's own figures; empty: it is valid.
        doubts: name of a figure -> why the client itself could explain too much of this one.
        is_saturated: the server fell behind the schedule; latencies then depend on the run's length.
        was_interrupted: somebody pressed Ctrl-C.
        latencies: for curves; empty where nobody draws any.
    """

    values: Mapping[str, float | None] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    doubts: Mapping[str, str] = field(default_factory=dict)
    is_saturated: bool = False
    was_interrupted: bool = False
    latencies: tuple[Latencies, ...] = ()

    def value(self, figure: Figure) -> float | None:
        """What a comparison may use: nothing where the client could explain it."""
        return None if figure.name in self.doubts else self.values.get(figure.name)

    def problems_with(self, figure: Figure) -> tuple[str, ...]:
        """Why the run says nothing about this figure."""
        doubt = self.doubts.get(figure.name)
        return self.problems if doubt is None else (*self.problems, doubt)


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf


def _expm1(value: float) -> float:
    return math.expm1(value) if value < 700 else math.inf


def primary_of(runs: Iterable[RunFigures], asked: str | None) -> Figure:
    """The figure asked for, else the first that any of the runs has.

    Raises:
        BenchmarkError: no figure is called so.
    """
    if asked is not None:
        return figure_named(asked)
    known = {name for run in runs for name, value in run.values.items() if value is not None}
    return next((figure for figure in FIGURES if figure.name in known), FIGURES[0])
