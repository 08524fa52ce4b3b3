"""How far a simulation is from the run that it should have foretold."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import msgspec

from benchmarks.summary.summarise import Summary

# figure -> largest error that passes, relative to the real one; the others are told and not judged.
LIMITS = {"output throughput": 0.05, "ttft p95": 0.15}


class Accuracy(msgspec.Struct, frozen=True):
    """One figure, real and simulated.

    Args:
        real: of the run; None: not defined, as where requests failed.
        simulated: the median of the simulations, which differ in their seeds; None: as above.
        low, high: the smallest and the largest of them.
        error: (simulated - real) / real; None: one of them is not defined.
        limit: largest absolute error that passes; None: not judged.
    """

    figure: str
    unit: str
    real: float | None
    simulated: float | None
    low: float | None
    high: float | None
    error: float | None
    limit: float | None

    @property
    def is_met(self) -> bool | None:
        """None: not judged."""
        if self.limit is None:
            return None
        return self.error is not None and abs(self.error) <= self.limit


def accuracy_of(real: Summary, simulated: Sequence[Summary]) -> tuple[Accuracy, ...]:
    """Every figure of the table."""
    rows = [_row("output throughput", "tokens/s", real, simulated, "output_throughput", None)]
    rows += [
        _row(f"{metric} {level}", "ms", real, simulated, metric, level)
        for metric in ("ttft", "e2e", "tpot")
        for level in ("p50", "p95")
    ]
    return tuple(rows)


def _row(
    figure: str, unit: str, real: Summary, simulated: Sequence[Summary], metric: str, level: str | None
) -> Accuracy:
    def value(summary: Summary) -> float | None:
        return summary.value(metric) if level is None else summary.percentile(metric, level)

    there = value(real)
    found = [one for one in map(value, simulated) if one is not None]
    middle = statistics.median(found) if len(found) == len(simulated) else None
    return Accuracy(
        figure=figure,
        unit=unit,
        real=there,
        simulated=middle,
        low=min(found, default=None),
        high=max(found, default=None),
        error=(middle - there) / there if middle is not None and there else None,
        limit=LIMITS.get(figure),
    )
