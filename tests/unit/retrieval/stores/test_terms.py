from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.retrieval.stores import terms

FINITE = st.floats(allow_nan=False)


@given(left=FINITE, right=FINITE)
def test_texts_sort_as_the_numbers_do(left: float, right: float) -> None:
    first, second = terms.sortable(left), terms.sortable(right)
    assert (first < second) == (left < right)
    assert (first == second) == (left == right)
    assert len(first) == 16


def test_what_is_no_number_has_no_place() -> None:
    with pytest.raises(ValueError, match="not a number"):
        terms.sortable(math.nan)


def test_parts_of_a_term_do_not_run_into_each_other() -> None:
    assert terms.equal("metadata.a", "b=c") != terms.equal("metadata.a=b", "c")
    assert terms.equal("source", "x") != terms.equal("path", "x")
    assert terms.owner("x") != terms.present("x")
