"""How long the next token takes: fixed, or jittered from tables that are drawn before the first request."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator

from benchmarks.reference_server.settings import Settings

# Delays repeat after this many draws; drawing them while serving would cost 0.5 us a token.
_NUM_DRAWN = 65_536


class Delays:
    """The timing model of one process.

    A jittered delay is its mean times a lognormal factor of mean 1, whose coefficient of variation is
    `settings.jitter`: always positive, skewed to the right as service times are.
    """

    def __init__(self, settings: Settings, *, process: int = 0) -> None:
        rng = random.Random(f"{settings.seed}/{process}")  # noqa: S311 (not for secrets)
        self._ttft_ns = settings.ttft_ms * 1e6
        self._prefill_ns = settings.prefill_us_per_token * 1e3
        self._extra_ns = settings.extra_ttft_ms * 1e6
        self._first_factors = _factors(rng, settings.jitter)
        self.next_gap_ns: Callable[[], int] = _gaps(rng, settings).__next__

    def first_ns(self, num_prompt_tokens: int) -> int:
        """From the start of the work on a request to its first token."""
        jittered = (self._ttft_ns + self._prefill_ns * num_prompt_tokens) * next(self._first_factors)
        return round(jittered + self._extra_ns)


def _gaps(rng: random.Random, settings: Settings) -> Iterator[int]:
    tpot_ns = settings.tpot_ms * 1e6
    if not settings.jitter:
        return itertools.repeat(round(tpot_ns))
    factors = itertools.islice(_factors(rng, settings.jitter), _NUM_DRAWN)
    return itertools.cycle([round(tpot_ns * factor) for factor in factors])


def _factors(rng: random.Random, jitter: float) -> Iterator[float]:
    if not jitter:
        return itertools.repeat(1.0)
    # Moments of the lognormal distribution: mean exp(mu + sigma^2 / 2), variation sqrt(exp(sigma^2) - 1).
    sigma = math.sqrt(math.log1p(jitter * jitter))
    return itertools.cycle([rng.lognormvariate(-sigma * sigma / 2, sigma) for _ in range(_NUM_DRAWN)])
