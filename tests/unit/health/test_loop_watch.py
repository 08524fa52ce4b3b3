from __future__ import annotations

import asyncio
import threading

import pytest

from serve_app.health import loop_watch
from serve_app.health.loop_watch import LoopWatch, Stall

PATIENCE_S = 21.0


def test_a_stall_adds_up_until_there_is_an_answer() -> None:
    stall = Stall(tick_s=1.0)
    for _ in range(3):
        stall.tick(1.0, has_answered=False)
    assert stall.seconds == 3.0
    stall.tick(1.0, has_answered=True)
    assert stall.seconds == 0.0


def test_time_in_which_nobody_could_look_is_not_held_against_the_loop() -> None:
    stall = Stall(tick_s=1.0)
    stall.tick(3600.0, has_answered=False)
    assert stall.seconds == 2.0


@pytest.fixture(autouse=True)
def _no_process_wide_watchdog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_watch.faulthandler, "dump_traceback_later", lambda *_, **__: None)
    monkeypatch.setattr(loop_watch.faulthandler, "cancel_dump_traceback_later", lambda: None)


async def test_a_blocked_loop_is_ended_with_its_reason() -> None:
    reasons: list[str] = []
    is_ended = threading.Event()

    def end(reason: str) -> None:
        reasons.append(reason)
        is_ended.set()

    watch = LoopWatch("Model-m", 0.05, PATIENCE_S, asyncio.get_running_loop(), end)
    assert is_ended.wait(30)  # blocks the loop
    watch.close()
    assert len(reasons) == 1
    assert reasons[0].startswith("the event loop of Model-m has not run for")


async def test_a_loop_that_turns_is_left_alone_and_so_is_one_that_is_closed() -> None:
    reasons: list[str] = []
    watch = LoopWatch("m", 2.0, PATIENCE_S, asyncio.get_running_loop(), reasons.append)
    for _ in range(30):
        await asyncio.sleep(0.02)
    watch.close()
    watch.close()
    watch._thread.join(30)
    assert not watch._thread.is_alive()
    assert reasons == []


async def test_one_that_was_stopped_is_ended_when_nobody_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The order to close came while it was stopped, and ends the watch of others."""
    monkeypatch.setattr(loop_watch, "Forgotten", StoodStill)
    reasons: list[str] = []
    watch = LoopWatch("Model-m", 2.0, PATIENCE_S, asyncio.get_running_loop(), reasons.append)
    watch.asked()
    watch.close()
    watch._thread.join(30)
    assert not watch._thread.is_alive()
    assert reasons == [
        "Model-m was stopped, and no controller has asked for its health for 31 s since: another has taken its place"
    ]


class StoodStill:
    """Stands in for Forgotten: a process that was stopped, and is forgotten at the second look."""

    has_stood_still = True
    unasked_s = 31.0

    def __init__(self, patience_s: float) -> None:
        assert patience_s == PATIENCE_S
        self._num_looks = 0

    def tick(self, elapsed_s: float, *, was_asked: bool) -> bool:
        self._num_looks += 1
        assert was_asked == (self._num_looks == 1)
        return self._num_looks == 2
