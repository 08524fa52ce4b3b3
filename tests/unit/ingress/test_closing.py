from __future__ import annotations

import asyncio

import pytest

from serve_app.errors import Unavailable
from serve_app.ingress.closing import Closing


async def test_what_runs_is_ended_with_the_reason_and_what_has_ended_is_not() -> None:
    closing = Closing()

    async def answer() -> None:
        with closing.running():
            await asyncio.Event().wait()

    with closing.running():
        pass
    running = [asyncio.create_task(answer()) for _ in range(3)]
    await asyncio.sleep(0)
    assert closing.end_all(Unavailable("replaced")) == 3
    outcomes = await asyncio.gather(*running, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 3
    assert closing.end_all(Unavailable("again")) == 0


async def test_a_cancellation_of_its_own_goes_through() -> None:
    closing = Closing()

    async def answer() -> None:
        with closing.running():
            await asyncio.Event().wait()

    task = asyncio.create_task(answer())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert closing.end_all(Unavailable("late")) == 0
