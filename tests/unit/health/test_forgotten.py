from __future__ import annotations

import pytest

from serve_app.health.forgotten import Forgotten

PATIENCE_S = 21.0
TICK_S = 1.5
NUM_TICKS = 21  # longer than any patience


def end_of(forgotten: Forgotten, *, was_asked: bool) -> bool:
    return any(forgotten.tick(TICK_S, was_asked=was_asked) for _ in range(NUM_TICKS))


def test_a_process_that_was_stopped_and_is_not_asked_any_more_is_forgotten() -> None:
    forgotten = Forgotten(PATIENCE_S)
    assert not forgotten.tick(75.0, was_asked=True)
    for _ in range(2):  # what had waited in the connection
        assert not forgotten.tick(TICK_S, was_asked=True)
    assert end_of(forgotten, was_asked=False)
    assert forgotten.unasked_s > PATIENCE_S


def test_one_that_is_asked_again_is_not_and_may_wait_for_a_controller_that_is_away() -> None:
    forgotten = Forgotten(PATIENCE_S)
    forgotten.tick(75.0, was_asked=False)
    for _ in range(3):
        assert not forgotten.tick(TICK_S, was_asked=True)
        assert not forgotten.tick(TICK_S, was_asked=False)
    assert not end_of(forgotten, was_asked=False)


@pytest.mark.parametrize("stop_s", [TICK_S, PATIENCE_S])
def test_silence_alone_means_a_controller_that_is_away(stop_s: float) -> None:
    forgotten = Forgotten(PATIENCE_S)
    forgotten.tick(stop_s, was_asked=False)
    assert not end_of(forgotten, was_asked=False)
