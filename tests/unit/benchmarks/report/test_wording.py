from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.report.wording import NOTHING, change, count, figure, number, seconds, share, tick


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.0, "0 ms"),
        (0.4213, "0.421 ms"),
        (1.5, "1.50 ms"),
        (48.26, "48.3 ms"),
        (2141.4, "2,141 ms"),
        (None, NOTHING),
    ],
)
def test_a_figure_has_three_digits_and_its_unit(value: float | None, words: str) -> None:
    assert figure(value, "ms") == words


@pytest.mark.parametrize("value", [math.inf, math.nan, None])
def test_what_is_not_known_is_no_number(value: float | None) -> None:
    assert {figure(value, "ms"), number(value), share(value), change(value)} == {NOTHING}


@given(st.floats(0, 1))
def test_a_share_reads_as_all_or_nothing_only_where_it_is(value: float) -> None:
    words = share(value)
    assert (words == "0 %") == (value == 0)
    assert (words == "100 %") == (value == 1)
    assert not words.startswith("100.") or value == 1


def test_shares_and_changes() -> None:
    assert [share(value) for value in (0.953, 0.0042, 0.00001, 0.99999, 0.9951)] == [
        "95.3 %", "0.42 %", "< 0.01 %", "> 99.99 %", "99.51 %",
    ]  # fmt: skip
    assert change(0.048) == "+4.8 %"
    assert change(-0.021) == "\N{MINUS SIGN}2.1 %"


def test_counts_and_times() -> None:
    assert [count(num, "request") for num in (0, 1, 20_000)] == ["0 requests", "1 request", "20,000 requests"]
    assert [seconds(value) for value in (0, 4.5, 60, 90, 3600, 3725)] == [
        "0 s", "4.5 s", "1 min", "1 min 30 s", "1 h", "1 h 2 min 5 s",
    ]  # fmt: skip
    assert seconds(59.999) == "60 s"


def test_axis_labels_are_exact() -> None:
    assert [tick(value) for value in (0.05, 5, 2500, 20_000, 3_000_000)] == [
        "0.05",
        "5",
        "2,500",
        "20k",
        "3M",
    ]
