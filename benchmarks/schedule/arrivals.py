"""When requests arrive: pure functions of a process, a duration and a random generator.

Every process is made of two steps. First, points of a process of rate 1: whole numbers (constant
spacing), sums of exponential gaps (Poisson) or of gamma gaps. Then each point x becomes the moment t at
which the cumulative rate L(t), the integral of the rate from 0 to t, reaches x. For Poisson points this
is exact for any rate that changes over time, as for the constant one (E. Çinlar,
"Introduction to Stochastic Processes", 1975, pp. 94-101).

Gaps are drawn one after the other, so a longer run with the same seed begins with the shorter one.
Knows nothing of what is asked. Traces have arrivals of their own: see `benchmarks.traces`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from benchmarks.errors import BenchmarkError
from configs.workload import (
    ConstantArrivals,
    GammaArrivals,
    PoissonArrivals,
    RampArrivals,
    StepArrivals,
)

Seconds = npt.NDArray[np.float64]
OpenLoop = ConstantArrivals | PoissonArrivals | GammaArrivals | RampArrivals | StepArrivals

# A planned request takes about 600 bytes in the parent and in every worker, so this many are 3 GB in each;
# they are 40 minutes at 2,000 requests per second.
MAX_REQUESTS = 5_000_000


def arrivals(process: OpenLoop, duration_s: float, rng: np.random.Generator) -> Seconds:
    """(num_requests,) float64 seconds in [0, duration_s), in order.

    - constant: k / rate_rps for k = 0, 1, 2, ...
    - poisson: gaps are exponential with mean 1 / rate_rps; the first request comes after a gap.
    - gamma: gaps are gamma with shape `burstiness` and scale 1 / (rate_rps * burstiness), which have mean
      1 / rate_rps and coefficient of variation 1 / sqrt(burstiness). This is what `vllm bench serve`
      calls burstiness; it also stretches the whole so that the last request falls on a set time, which
      would make gaps depend on each other, so it is left out here.
    - ramp: L(t) = from_rps t + (to_rps - from_rps) t^2 / (2 duration_s).
    - step: L is piecewise linear; a step of rate 0 is a pause.

    Raises:
        BenchmarkError: more than MAX_REQUESTS, or none.
    """
    expected = _expected(process, duration_s)
    if expected > MAX_REQUESTS:
        raise BenchmarkError(
            f"arrivals: {process.process} for {duration_s:g} s means about {expected:,.0f} requests; "
            f"at most {MAX_REQUESTS:,} can be drawn"
        )
    points = _points(process, expected, rng)
    at_s = _moments(process, points[points < expected], duration_s)
    at_s = at_s[at_s < duration_s]  # rounding may reach the end exactly
    if not len(at_s):
        raise BenchmarkError(
            f"arrivals: {process.process} for {duration_s:g} s drew no request ({expected:.2g} expected); "
            "run longer or raise the rate"
        )
    return at_s


def _expected(process: OpenLoop, duration_s: float) -> float:
    """L(duration_s): the mean number of requests."""
    if isinstance(process, RampArrivals):
        return duration_s * (process.from_rps + process.to_rps) / 2
    if isinstance(process, StepArrivals):
        return duration_s * sum(process.rates_rps) / len(process.rates_rps)
    return duration_s * process.rate_rps


# ---------------------------------------------------------------- points of rate 1


def _points(process: OpenLoop, until: float, rng: np.random.Generator) -> Seconds:
    """At least all points of the process of rate 1 in [0, until), in order."""
    if isinstance(process, GammaArrivals):
        shape = process.burstiness
        return _sums(lambda num: rng.gamma(shape, 1.0 / shape, num), until)
    spacing = process.spacing if isinstance(process, (RampArrivals, StepArrivals)) else process.process
    if spacing == "constant":
        return np.arange(np.ceil(until), dtype=np.float64)
    return _sums(rng.standard_exponential, until)


def _sums(gaps: Callable[[int], Seconds], until: float) -> Seconds:
    """Running sums of gaps of mean 1, at least up to `until`."""
    drawn = gaps(int(until + 6 * np.sqrt(until)) + 16)
    sums = np.cumsum(drawn)
    # Very bursty gaps are nearly all zero: then there is no bound on how many fit but this one.
    while not sums[-1] >= until:
        if len(drawn) > MAX_REQUESTS:
            raise BenchmarkError(f"arrivals: bursts of more than {MAX_REQUESTS:,} requests; raise burstiness")
        drawn = np.concatenate((drawn, gaps(len(drawn))))
        sums = np.cumsum(drawn)  # anew, so that a sum never depends on how the gaps were split
    return sums


# ---------------------------------------------------------------- from points to moments


def _moments(process: OpenLoop, points: Seconds, duration_s: float) -> Seconds:
    """The t with L(t) = x for each x of points; all x are in [0, L(duration_s))."""
    if isinstance(process, RampArrivals):
        return _on_ramp(points, process.from_rps, process.to_rps, duration_s)
    if isinstance(process, StepArrivals):
        return _on_steps(points, process.rates_rps, duration_s)
    return points / process.rate_rps


def _on_ramp(points: Seconds, from_rps: float, to_rps: float, duration_s: float) -> Seconds:
    slope = (to_rps - from_rps) / duration_s
    # The quadratic formula in the form that cancels nothing and stays true for a slope of 0.
    root = np.sqrt(np.maximum(from_rps**2 + 2 * slope * points, 0.0))
    denominator = from_rps + root
    # 0 / 0 only for x = 0 on a ramp from 0, where t = 0.
    return np.divide(2 * points, denominator, out=np.zeros_like(points), where=denominator > 0)


def _on_steps(points: Seconds, rates_rps: tuple[float, ...], duration_s: float) -> Seconds:
    rates = np.array(rates_rps)
    step_s = duration_s / len(rates)
    reached = np.concatenate(([0.0], np.cumsum(rates * step_s)))  # L at the steps' ends
    # side="right": a point that falls on a pause belongs to the step after it.
    step = np.minimum(np.searchsorted(reached, points, side="right") - 1, len(rates) - 1)
    # Rounding may carry a point past its step's end, or into a last step of rate 0, where it divides by 0.
    with np.errstate(divide="ignore", invalid="ignore"):
        at_s: Seconds = step * step_s + (points - reached[step]) / rates[step]
    at_end: Seconds = (step + 1) * step_s
    return np.fmin(at_s, at_end)
