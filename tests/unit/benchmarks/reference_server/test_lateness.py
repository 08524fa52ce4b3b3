"""Quantiles of lateness are upper edges of buckets, never below the truth."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.reference_server.lateness import Lateness

FINE_NS = 10_000
COARSE_NS = 10_000_000


@given(
    st.lists(st.integers(0, 90_000_000_000), min_size=1, max_size=60),
    st.sampled_from([0.01, 0.5, 0.9, 0.99, 1.0]),
)
def test_a_quantile_is_at_most_a_bucket_above_the_exact_one(late_ns: list[int], quantile: float) -> None:
    lateness = Lateness()
    for value in late_ns:
        lateness.add(value)
    exact = sorted(late_ns)[math.ceil(quantile * len(late_ns)) - 1]
    width = FINE_NS if exact < 100_000_000 else COARSE_NS
    reported = lateness.quantile_ms(quantile)
    assert reported is not None
    assert exact < reported * 1e6 <= exact + width + 1


def test_nothing_counted_has_no_quantile() -> None:
    assert Lateness().quantile_ms(0.5) is None


@pytest.mark.parametrize("quantile", [0, 1.01, -1])
def test_what_is_no_quantile_is_refused(quantile: float) -> None:
    with pytest.raises(ValueError, match="is not a quantile"):
        Lateness().quantile_ms(quantile)
