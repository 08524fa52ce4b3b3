"""The timing model: what is added to what, and what a seed fixes."""

from __future__ import annotations

import itertools
import statistics

import pytest

from benchmarks.reference_server.delays import Delays
from benchmarks.reference_server.settings import Settings

MS = 1_000_000


def gaps(delays: Delays, count: int) -> list[int]:
    return [delays.next_gap_ns() for _ in range(count)]


def test_without_jitter_every_delay_is_exact() -> None:
    delays = Delays(Settings(ttft_ms=20, prefill_us_per_token=100, extra_ttft_ms=5, tpot_ms=2.5))
    assert delays.first_ns(0) == 25 * MS
    assert delays.first_ns(30) == 28 * MS
    assert gaps(delays, 3) == [2_500_000] * 3


def test_jitter_keeps_the_mean_and_has_the_variation_that_was_asked_for() -> None:
    drawn = gaps(Delays(Settings(tpot_ms=10, jitter=0.2)), 60_000)
    assert statistics.fmean(drawn) == pytest.approx(10 * MS, rel=0.01)
    assert statistics.pstdev(drawn) / statistics.fmean(drawn) == pytest.approx(0.2, rel=0.05)
    assert min(drawn) > 0


def test_extra_ttft_shifts_jittered_delays_by_exactly_itself() -> None:
    """So that an A/B test of the same seed has the same noise on both sides."""
    without, shifted = (Delays(Settings(jitter=0.5, seed=7, extra_ttft_ms=extra)) for extra in (0, 5))
    differences = [shifted.first_ns(10) - without.first_ns(10) for _ in range(100)]
    assert differences == [pytest.approx(5 * MS, abs=1)] * 100


def test_the_seed_and_the_process_decide() -> None:
    def first_gaps(seed: int, process: int) -> list[int]:
        return gaps(Delays(Settings(jitter=0.3, seed=seed), process=process), 5)

    assert first_gaps(1, 0) == first_gaps(1, 0)
    for one, other in itertools.combinations([(1, 0), (2, 0), (1, 1)], 2):
        assert first_gaps(*one) != first_gaps(*other)
