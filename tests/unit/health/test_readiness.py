from __future__ import annotations

import asyncio

import pytest

from serve_app.errors import Unavailable
from serve_app.health.readiness import Readiness


async def hangs() -> None:
    await asyncio.Event().wait()


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
    states = await Readiness({"slow": hangs}, 0.01).states()
    assert states["slow"].reason == "no answer within 0.01 s"


async def test_who_does_not_answer_is_explained_and_who_says_why_is_not() -> None:
    async def broken() -> None:
        raise Unavailable("its own words")

    async def explain() -> dict[str, str]:
        return {"dead": "UNHEALTHY: no weights", "broken": "never shown"}

    probes = {"dead": hangs, "slow": hangs, "broken": broken}
    states = await Readiness(probes, 0.01, explain).states()
    assert {name: state.reason for name, state in states.items()} == {
        "dead": "no answer within 0.01 s; Serve says UNHEALTHY: no weights",
        "slow": "no answer within 0.01 s",
        "broken": "its own words",
    }


async def test_an_explanation_that_hangs_or_breaks_delays_nobody_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("serve_app.health.readiness._EXPLAIN_TIMEOUT_S", 0.01)
    num_asked = 0

    async def explain() -> dict[str, str]:
        nonlocal num_asked
        num_asked += 1
        await asyncio.Event().wait()
        raise AssertionError

    async def breaks() -> dict[str, str]:
        raise KeyError("manta")

    readiness = Readiness({"dead": hangs}, 0.01, explain, keep_s=0.0)
    for _ in range(3):
        assert (await readiness.states())["dead"].reason == "no answer within 0.01 s"
    assert num_asked == 1  # the first one is still being asked
    other = Readiness({"dead": hangs}, 0.01, breaks)
    assert (await other.states())["dead"].reason == "no answer within 0.01 s"
