from dataclasses import replace

import pytest

from kuberay.diagnosis import Reason
from kuberay.patience import Judge, Patience
from kuberay.service_status import Phase, ServiceStatus

SERVING = ServiceStatus("manta", "manta", Phase.SERVING, "", 1, 1, 1, None, None, "")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def judge(clock: Clock) -> Judge:
    return Patience(settle_s=10, fail_s=20, stuck_s=300).judge(clock)


def test_serving_must_last(clock: Clock, judge: Judge) -> None:
    assert not judge.is_settled(SERVING)
    clock.now = 9.0
    assert not judge.is_settled(SERVING)
    clock.now = 9.5
    assert not judge.is_settled(replace(SERVING, phase=Phase.DEGRADED))
    clock.now = 12.0
    assert not judge.is_settled(SERVING)
    clock.now = 22.0
    assert judge.is_settled(SERVING)


def test_so_must_a_failure(clock: Clock, judge: Judge) -> None:
    judge.is_settled(replace(SERVING, phase=Phase.FAILED))
    assert not judge.has_failed
    clock.now = 20.0
    assert judge.has_failed
    judge.is_settled(None)
    assert not judge.has_failed


def test_what_is_stuck_for_long_ends_the_wait_whatever_it_counts(clock: Clock, judge: Judge) -> None:
    def stuck(number: int) -> list[Reason]:
        return [Reason("passing"), Reason(f"{number} pods cannot pull", is_stuck=True)]

    assert judge.stuck_for_too_long(stuck(1)) == ""
    clock.now = 299.0
    assert judge.stuck_for_too_long(stuck(2)) == ""
    clock.now = 300.0
    assert judge.stuck_for_too_long(stuck(3)) == "3 pods cannot pull"
    assert judge.stuck_for_too_long([]) == ""
    assert judge.stuck_for_too_long(stuck(3)) == ""


def test_one_looks_often_enough() -> None:
    assert Patience(settle_s=10, fail_s=20).tick_s(5.0) == 5.0
    assert Patience(settle_s=0.5, fail_s=20).tick_s(5.0) == 0.5
    assert Patience(settle_s=0, fail_s=0).tick_s(5.0) == 5.0
