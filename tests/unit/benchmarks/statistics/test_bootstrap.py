from __future__ import annotations

import numpy as np
import pytest

from benchmarks.statistics.bootstrap import Floats, bca_interval


def mean(values: Floats) -> Floats:
    return np.asarray(values.mean(axis=1))


def difference(a: Floats, b: Floats) -> Floats:
    return np.asarray(b.mean(axis=1) - a.mean(axis=1))


def test_a_large_normal_sample_has_the_textbook_interval() -> None:
    values = np.random.default_rng(1).normal(10, 2, 400)
    interval = bca_interval([values], mean, np.random.default_rng(2), confidence=0.95)
    error = values.std(ddof=1) / 20
    assert interval.low == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert interval.high == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)


def test_a_skewed_sample_has_a_skewed_interval() -> None:
    values = np.random.default_rng(3).exponential(1.0, 40)
    interval = bca_interval([values], mean, np.random.default_rng(4), confidence=0.95)
    assert interval.high - values.mean() > 1.1 * (values.mean() - interval.low)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(400):
        interval = bca_interval([rng.exponential(1.0, 200)], mean, rng, confidence=0.9, num_resamples=600)
        covered += interval.low <= 1.0 <= interval.high
    assert 0.855 <= covered / 400 <= 0.945


def test_several_samples_are_resampled_each_by_itself() -> None:
    rng = np.random.default_rng(6)
    a, b = rng.normal(0, 1, 200), rng.normal(3, 2, 50)
    interval = bca_interval([a, b], difference, rng, confidence=0.95)
    error = np.sqrt(a.var(ddof=1) / 200 + b.var(ddof=1) / 50)
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * error, rel=0.12)


def test_the_same_generator_gives_the_same_interval() -> None:
    values = np.random.default_rng(7).normal(0, 1, 15)
    first, second = (
        bca_interval([values], mean, np.random.default_rng(8), confidence=0.95) for _ in range(2)
    )
    assert first == second


def test_values_that_do_not_vary_have_no_width() -> None:
    interval = bca_interval([[2.0] * 5], mean, np.random.default_rng(9), confidence=0.95)
    assert interval == (2.0, 2.0)


@pytest.mark.parametrize("sample", [[], [1.0], [1.0, float("inf")], [1.0, float("nan")]])
def test_what_cannot_be_resampled_is_refused(sample: list[float]) -> None:
    with pytest.raises(ValueError, match="two finite values"):
        bca_interval([sample], mean, np.random.default_rng(10), confidence=0.95)
