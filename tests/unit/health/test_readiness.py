from __future__ import annotations

import asyncio

import pytest

from serve_app.errors import Unavailable
from serve_app.health.readiness import Readiness


class Dependency:
    """A probe that counts, and answers when it is let."""

    def __init__(self) -> None:
        self.num_asked = 0
        self.may_answer = asyncio.Event()

    async def probe(self) -> None:
        self.num_asked += 1
        await self.may_answer.wait()


async def test_a_flood_of_questions_is_one_probe(clock) -> None:
    one = Dependency()
    readiness = Readiness({"one": one.probe}, 60.0, clock=clock)
    asking = [asyncio.create_task(readiness.states()) for _ in range(100)]
    await asyncio.sleep(0)
    one.may_answer.set()
    answers = await asyncio.gather(*asking)
    assert all(answer["one"].is_ready for answer in answers)
    await readiness.states()
    assert one.num_asked == 1
    clock.now_s += 1.0
    await readiness.states()
    assert one.num_asked == 2


async def test_who_asked_first_may_leave(clock) -> None:
    one = Dependency()
    readiness = Readiness({"one": one.probe}, 60.0, clock=clock)
    first, second = (asyncio.create_task(readiness.states()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    one.may_answer.set()
    assert (await second)["one"].is_ready
    assert one.num_asked == 1


async def test_dependencies_are_asked_side_by_side_and_told_with_their_reason(clock) -> None:
    may_answer = asyncio.Event()

    async def first() -> None:
        await may_answer.wait()

    async def second() -> None:
        may_answer.set()
        raise Unavailable("the disk is gone")

    states = await Readiness({"first": first, "second": second}, 60.0, clock=clock).states()
    assert list(states) == ["first", "second"]
    assert states["first"].is_ready
    assert states["second"].reason == "the disk is gone"


async def test_no_probe_takes_longer_than_its_time() -> None:
    states = await Readiness({"slow": asyncio.Event().wait}, 0.01).states()  # type: ignore[dict-item]
    assert states["slow"].reason == "no answer within 0.01 s"
