from __future__ import annotations

import pytest

from serve_app.routing.silence import LEFT_OUT_S, Silence


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_silent_replica_is_left_out_for_a_while(clock: Clock) -> None:
    silence = Silence(clock)
    silence.found("a")
    assert (silence.holds("a"), silence.holds("b")) == (True, False)
    clock.now += LEFT_OUT_S
    assert not silence.holds("a")
    silence.found("b")  # and what is over is forgotten
    assert silence._since.keys() == {"b"}


def test_only_what_was_asked_since_breaks_it(clock: Clock) -> None:
    silence = Silence(clock)
    silence.broken("a", clock.now)
    silence.found("a")
    silence.broken("a", clock.now - 5.0)  # a stream that it had begun before
    assert silence.holds("a")
    silence.broken("a", clock.now + 5.0)
    assert not silence.holds("a")
