from __future__ import annotations

import dataclasses
import pickle
from types import SimpleNamespace

import pytest

import serve_app.messages
from serve_app.errors import DeadlineExceeded
from serve_app.messages import Deadline, RequestContext


class Clock:
    def __init__(self, now_s: float) -> None:
        self.now_s = now_s

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock(1000.0)
    monkeypatch.setattr(serve_app.messages, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


def test_a_deadline_travels_as_the_time_that_remains(clock: Clock) -> None:
    deadline = Deadline.after(10.0)
    clock.now_s += 4.0
    sent = pickle.dumps(RequestContext("r", "t", deadline))
    clock.now_s = 5.0  # another machine, whose clock began later
    received = pickle.loads(sent).deadline
    assert received.remaining_s() == pytest.approx(6.0)
    assert received.at_monotonic_s == pytest.approx(11.0)


def test_a_deadline_that_is_over_stays_over(clock: Clock) -> None:
    assert pickle.loads(pickle.dumps(Deadline.after(-3.0))).remaining_s() == pytest.approx(-3.0)


def test_a_stage_gets_its_own_time_or_what_remains(clock: Clock) -> None:
    deadline = Deadline.after(10.0)
    assert deadline.within(2.0) == 2.0
    clock.now_s += 9.0
    assert deadline.within(2.0) == pytest.approx(1.0)
    clock.now_s += 9.0
    assert deadline.within(2.0) == 0.0


def test_check_names_the_stage(clock: Clock) -> None:
    deadline = Deadline.after(1.0)
    deadline.check("route")
    clock.now_s += 1.0
    with pytest.raises(DeadlineExceeded) as caught:
        deadline.check("route")
    assert caught.value.stage == "route"


def test_messages_are_frozen(clock: Clock) -> None:
    context = RequestContext("r", "t", Deadline.after(1.0))
    with pytest.raises(dataclasses.FrozenInstanceError):
        context.tenant = "other"  # type: ignore[misc]
