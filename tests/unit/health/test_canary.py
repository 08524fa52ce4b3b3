from __future__ import annotations

import operator

import numpy as np
import pytest

from serve_app.errors import EngineFailed
from serve_app.health.canary import Canary, same_direction


def canary(clock, period_s: float | None = 60.0) -> Canary[str]:
    return Canary("m", period_s, operator.eq, clock)


def test_it_is_due_at_once_and_then_once_a_period(clock) -> None:
    one = canary(clock)
    assert one.is_due()
    one.asked()
    assert not one.is_due()
    clock.now_s += 59.0
    assert not one.is_due()
    clock.now_s += 1.0
    assert one.is_due()


def test_without_a_period_it_is_never_due(clock) -> None:
    assert not canary(clock, period_s=None).is_due()


def test_the_first_answer_is_the_right_one_whatever_it_is(clock) -> None:
    one = canary(clock)
    for answer in ("nonsense", "nonsense", "nonsense"):
        one.answered(answer)
        one.check()


def test_one_changed_answer_is_asked_again_at_once_and_two_are_a_fault(clock) -> None:
    one = canary(clock)
    one.asked()
    one.answered("a")
    one.answered("b")
    one.check()
    assert one.is_due()
    one.answered("b")
    with pytest.raises(
        EngineFailed, match="m answers the same question otherwise than at its start, 2 times"
    ):
        one.check()


def test_an_answer_that_is_right_again_forgives(clock) -> None:
    one = canary(clock)
    for answer in ("a", "b", "a", "b", "a"):
        one.asked()
        one.answered(answer)
        one.check()
    assert not one.is_due()


def test_vectors_may_differ_in_their_last_bits_only() -> None:
    first = np.asarray([0.6, 0.8], dtype=np.float32)
    assert same_direction(first, first + np.float32(1e-4))
    assert not same_direction(first, np.asarray([0.8, 0.6], dtype=np.float32))
    assert not same_direction(first, np.asarray([np.nan, 0.8], dtype=np.float32))
