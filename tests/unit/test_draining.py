from __future__ import annotations

import asyncio
import logging

import pytest

from serve_app.draining import Draining, serve_replica


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Replica:
    """What Serve would say."""

    def __init__(self, grace_s: float) -> None:
        self.is_stopping = False
        self._grace_s = grace_s

    def is_shutting_down(self) -> bool:
        return self.is_stopping

    def grace_s(self) -> float:
        return self._grace_s


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_replica_that_is_not_drained_has_all_the_time() -> None:
    draining = Draining(lambda: Replica(20.0), look_s=0.0)
    assert not draining.is_draining()
    waiting = asyncio.create_task(draining.grace_over(1.0))
    await turns()
    assert not waiting.done()
    waiting.cancel()
    await draining.close()


async def test_all_who_wait_are_told_when_the_grace_time_is_nearly_over() -> None:
    replica, clock = Replica(20.0), Clock()
    draining = Draining(lambda: replica, clock, look_s=0.0)
    await turns()
    replica.is_stopping = True
    assert draining.is_draining()
    await turns()
    clock.now_s = 19.0  # whoever asks from here on has no time left
    await asyncio.gather(*(draining.grace_over(1.0) for _ in range(3)))
    early = asyncio.create_task(draining.grace_over(0.0))
    await turns()
    assert not early.done()
    early.cancel()
    await draining.close()


async def test_where_nothing_can_be_known_nothing_is_ever_drained(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        draining = Draining(serve_replica)  # no Serve replica runs here
    assert "cannot know when this replica is drained" in caplog.text
    assert not draining.is_draining()
    waiting = asyncio.create_task(draining.grace_over(1e9))
    await turns()
    assert not waiting.done()
    waiting.cancel()
    await draining.close()
