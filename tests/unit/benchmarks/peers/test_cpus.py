"""Cores are given back, whatever happens."""

from __future__ import annotations

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.peers.cpus import available, parse, pinned


def test_cores_are_those_from_before_afterwards() -> None:
    before = available()
    with pinned(before[:1]):
        assert available() == before[:1]
    assert available() == before


def test_no_cores_given_changes_nothing() -> None:
    before = available()
    with pinned(()):
        assert available() == before


def test_a_core_that_is_not_there() -> None:
    with pytest.raises(BenchmarkError, match="not to be had"), pinned((4095,)):
        pass


def test_lists_of_cores() -> None:
    assert parse("0,2") == (0, 2)
    assert parse("") == ()
