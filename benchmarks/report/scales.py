"""Where a value stands on an axis, and which values are worth a label.

Positions are shares of the axis, 0 at its start and 1 at its end. Knows nothing of drawing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from benchmarks.report.wording import tick


class Scale(Protocol):
    """An axis."""

    def at(self, value: float) -> float: ...

    def ticks(self) -> Sequence[tuple[float, str]]:
        """(value, label), in order."""
        ...


@dataclass(frozen=True, slots=True)
class Linear:
    """Equal steps are equally far apart."""

    low: float
    high: float

    def at(self, value: float) -> float:
        return _clamp((value - self.low) / (self.high - self.low))

    def ticks(self) -> Sequence[tuple[float, str]]:
        step = _nice_step((self.high - self.low) / 6)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [(round(k * step, 12), tick(round(k * step, 12))) for k in range(first, last + 1)]


@dataclass(frozen=True, slots=True)
class Time:
    """Seconds after the run's start, labelled in the units that clocks have."""

    low: float
    high: float

    def at(self, value: float) -> float:
        return _clamp((value - self.low) / (self.high - self.low))

    def ticks(self) -> Sequence[tuple[float, str]]:
        rough = (self.high - self.low) / 8
        step = next((step for step in _CLOCK_STEPS_S if step >= rough), None) or _nice_step(rough)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [(k * step, clock(k * step, step)) for k in range(first, last + 1)]


_CLOCK_STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200)


def clock(at_s: float, step_s: float) -> str:
    """ "0 s", "45 s", "1:30", "2:05:00": as exact as the step between two labels asks."""
    if step_s < 15 and at_s < 600:
        return f"{at_s:.6g} s"
    minutes, seconds = divmod(round(at_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


@dataclass(frozen=True, slots=True)
class Log:
    """Equal factors are equally far apart; values at or below zero stand at the start."""

    low: float
    high: float

    def at(self, value: float) -> float:
        if value <= 0:
            return 0.0
        return _clamp(math.log10(value / self.low) / math.log10(self.high / self.low))

    def ticks(self) -> Sequence[tuple[float, str]]:
        decades = math.log10(self.high / self.low)
        factors = (1, 2, 5) if decades <= 3.2 else (1,)
        exponents = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        values = [factor * 10.0**exponent for exponent in exponents for factor in factors]
        inside = [value for value in values if self.low * 0.999 <= value <= self.high * 1.001]
        return [(value, tick(float(f"{value:.6g}"))) for value in inside]


@dataclass(frozen=True, slots=True)
class Tail:
    """Quantiles (0 to below 1) with the tail stretched: each further nine takes the same room.

    The percentile plot of HdrHistogram: the position is log10(1 / (1 - quantile)).
    """

    num_nines: float  # the axis ends here: 3 is p99.9

    def at(self, value: float) -> float:
        return _clamp(-math.log10(max(1.0 - value, 1e-12)) / self.num_nines)

    def ticks(self) -> Sequence[tuple[float, str]]:
        quantiles = [0.5, 0.9, 0.95, 0.99, 0.999, 0.9999, 0.99999]
        inside = [quantile for quantile in quantiles if self._nines(quantile) <= self.num_nines + 1e-9]
        return [(quantile, f"p{quantile * 100:.10g}") for quantile in inside]

    @staticmethod
    def _nines(quantile: float) -> float:
        return -math.log10(1.0 - quantile)


def from_zero(highest: float) -> Linear:
    """A linear axis from 0 to a round number at or above `highest`."""
    if highest <= 0:
        return Linear(0.0, 1.0)
    step = _nice_step(highest / 5)
    return Linear(0.0, math.ceil(highest / step - 1e-9) * step)


def around(lowest: float, highest: float) -> Linear:
    """A linear axis from a round number to a round number, with zero on it."""
    lowest, highest = min(lowest, 0.0), max(highest, 0.0)
    if lowest == highest:
        return Linear(-1.0, 1.0)
    step = _nice_step((highest - lowest) / 5)
    return Linear(math.floor(lowest / step) * step, math.ceil(highest / step) * step)


def for_latency(values: Sequence[float]) -> Linear | Log:
    """Linear from zero; logarithmic where the longest would press the usual ones to the floor.

    Args:
        values: some that the axis must hold; those at or below zero are left out of a logarithmic one.
    """
    positive = sorted(value for value in values if value > 0)
    if not positive:
        return Linear(0.0, 1.0)
    middle, low, high = positive[len(positive) // 2], positive[0], positive[-1]
    if high / middle < 12:
        return from_zero(high * 1.02)
    # Two digits of the lowest are enough; one outlier near zero may not squeeze the rest.
    return Log(_round_down(max(low, middle / 100)), _round_up(high))


def _round_down(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return float(max(factor for factor in (1, 2, 5) if factor * power <= value * 1.0001) * power)


def _round_up(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return float(min(factor for factor in (1, 2, 5, 10) if factor * power >= value * 0.9999) * power)


def _nice_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return float(min(factor for factor in (1, 2, 5, 10) if factor * power >= rough * 0.9999) * power)


def _clamp(position: float) -> float:
    return min(1.0, max(0.0, position))
