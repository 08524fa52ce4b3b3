from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.errors import BenchmarkError
from benchmarks.schedule.lengths import sample
from configs.workload import Length, LognormalLength, NormalLength, UniformLength


def rng() -> np.random.Generator:
    return np.random.default_rng(1)


@st.composite
def ranged(draw: st.DrawFn) -> NormalLength | LognormalLength:
    low = draw(st.integers(1, 1000))
    high = low + draw(st.integers(10, 5000))
    middle = draw(st.floats(low, high))
    if draw(st.booleans()):
        return NormalLength(
            distribution="normal", mean=middle, std=draw(st.floats(0, 500)), low=low, high=high
        )
    return LognormalLength(
        distribution="lognormal", median=middle, sigma=draw(st.floats(0, 2)), low=low, high=high
    )


@given(length=ranged())
def test_all_lengths_are_in_the_range(length: NormalLength | LognormalLength) -> None:
    lengths = sample(length, 500, rng())
    assert lengths.dtype == np.int64
    assert len(lengths) == 500
    assert lengths.min() >= length.low
    assert lengths.max() <= length.high


@pytest.mark.parametrize(
    ("length", "median", "std"),
    [
        (17, 17, 0),
        (UniformLength(distribution="uniform", low=1, high=9), 5, np.sqrt(80 / 12)),
        (NormalLength(distribution="normal", mean=500, std=50), 500, 50),
        (LognormalLength(distribution="lognormal", median=300, sigma=0.5), 300, 300 * 0.604),
    ],
)
def test_lengths_are_distributed_as_asked(length: Length, median: float, std: float) -> None:
    lengths = sample(length, 50_000, rng())
    assert np.median(lengths) == pytest.approx(median, rel=0.02)
    assert np.std(lengths) == pytest.approx(std, rel=0.03)


def test_a_uniform_range_includes_both_ends() -> None:
    lengths = sample(UniformLength(distribution="uniform", low=3, high=5), 1000, rng())
    assert np.unique(lengths).tolist() == [3, 4, 5]


def test_a_cut_distribution_has_no_heap_at_its_limits() -> None:
    length = NormalLength(distribution="normal", mean=100, std=100, low=1, high=200)
    counts = np.bincount(sample(length, 100_000, rng()), minlength=201)
    assert counts[1] < 2 * counts[50]
    assert counts[200] < 2 * counts[150]


@pytest.mark.parametrize(
    "length",
    [
        NormalLength(distribution="normal", mean=100, std=1e6, low=100, high=101),
        LognormalLength(distribution="lognormal", median=100, sigma=1e6, low=100, high=101),
    ],
)
def test_a_range_that_is_hardly_ever_hit_is_refused(length: Length) -> None:
    with pytest.raises(BenchmarkError, match="chat: output_tokens: fewer than 1 in 1000 draws of"):
        sample(length, 100, rng(), "chat: output_tokens")


def test_a_narrow_range_is_drawn_all_the_same() -> None:
    length = NormalLength(distribution="normal", mean=100, std=100, low=99, high=101)  # 1 draw in 84
    assert set(sample(length, 2000, rng()).tolist()) == {99, 100, 101}


def test_a_single_length_without_spread_is_itself() -> None:
    length = LognormalLength(distribution="lognormal", median=64, sigma=0)
    assert set(sample(length, 10, rng()).tolist()) == {64}
