from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from configs.schema import HealthConfig
from serve_app.errors import EngineFailed, MantaError, Unavailable
from serve_app.health.replica import ReplicaHealth

PERIOD_S = 0.5  # of the virtual clock below: nothing waits


class Engine:
    """An engine that is as it is told to be."""

    def __init__(self) -> None:
        self.error: MantaError | None = None

    async def check(self) -> None:
        if self.error is not None:
            raise self.error


class Sleeps:
    """Stands in for asyncio.sleep: each waits until it is let go."""

    def __init__(self) -> None:
        self.under_way: list[asyncio.Future[None]] = []

    async def __call__(self, seconds: float) -> None:
        assert seconds == PERIOD_S
        self.under_way.append(asyncio.get_running_loop().create_future())
        await self.under_way[-1]


@pytest.fixture
def sleeps(monkeypatch: pytest.MonkeyPatch) -> Sleeps:
    made = Sleeps()
    monkeypatch.setattr("serve_app.health.replica.asyncio.sleep", made)
    return made


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
async def health(engine: Engine) -> Iterator[ReplicaHealth]:
    made = ReplicaHealth("m", HealthConfig(check_period_s=PERIOD_S, max_loop_block_s=600), engine.check)
    yield made
    made.close()


async def under_way(health: ReplicaHealth, sleeps: Sleeps) -> asyncio.Task[None]:
    task = asyncio.create_task(health.check())
    while not sleeps.under_way:
        await asyncio.wait([task], timeout=0)
    return task


async def test_the_first_answer_comes_at_once_and_the_next_stays_open(
    health: ReplicaHealth, sleeps: Sleeps
) -> None:
    await health.check()
    assert not sleeps.under_way
    task = await under_way(health, sleeps)
    assert not task.done()
    sleeps.under_way[0].set_result(None)
    await task


async def test_who_asks_while_one_waits_is_answered_at_once(health: ReplicaHealth, sleeps: Sleeps) -> None:
    await health.check()
    task = await under_way(health, sleeps)
    await health.check()
    assert len(sleeps.under_way) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    again = asyncio.create_task(health.check())  # the one that was cancelled is under way no more
    await asyncio.wait([again], timeout=0)
    await asyncio.wait([again], timeout=0)
    assert len(sleeps.under_way) == 2
    sleeps.under_way[1].set_result(None)
    await again


async def test_a_broken_engine_is_told_at_once_and_also_after_the_wait(
    health: ReplicaHealth, engine: Engine, sleeps: Sleeps
) -> None:
    await health.check()
    task = await under_way(health, sleeps)
    engine.error = EngineFailed("nan")
    sleeps.under_way[0].set_result(None)
    with pytest.raises(EngineFailed, match="nan"):
        await task
    with pytest.raises(EngineFailed, match="nan"):
        await health.check()


async def test_what_every_replica_would_miss_replaces_none(
    health: ReplicaHealth, engine: Engine, sleeps: Sleeps
) -> None:
    engine.error = Unavailable("the upstream is gone")
    await health.check()
