"""Who reads an answer that several may wait for, and what becomes of it when some of them leave."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import Any

import pytest

from configs.schema import AnswerCacheConfig
from serve_app.answer_cache.cache import AnswerCache
from serve_app.answer_cache.embedded import EmbeddedAnswers
from serve_app.errors import EngineFailed
from serve_app.front.base import Ask

Make = Callable[..., Any]


class Stepped:
    """A model whose frames come when they are let through, one after the other."""

    def __init__(self, frames: list[bytes]) -> None:
        self.frames = frames
        self.num_asked = 0
        self.num_running = 0
        self.let_through = asyncio.Semaphore(0)
        self.error: Exception | None = None

    async def source(self, ask: Ask) -> AsyncGenerator[bytes]:
        self.num_asked += 1
        self.num_running += 1
        try:
            for frame in self.frames:
                await self.let_through.acquire()
                if self.error is not None:
                    raise self.error
                yield frame
        finally:
            self.num_running -= 1


class Caller:
    """Reads an answer in a task of its own."""

    def __init__(self, cache: AnswerCache, ask: Ask, model: Stepped) -> None:
        self.ask = ask
        self.got: list[bytes] = []
        self.task = asyncio.create_task(self._read(cache, model))

    async def _read(self, cache: AnswerCache, model: Stepped) -> None:
        frames = cache.frames(self.ask, model.source)
        try:
            async for frame in frames:
                self.got.append(frame)
        finally:
            await frames.aclose()

    async def leave(self) -> None:
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task


async def settle() -> None:
    for _ in range(12):
        await asyncio.sleep(0)


@pytest.fixture
def cache() -> AnswerCache:
    return AnswerCache(AnswerCacheConfig(), EmbeddedAnswers(10_000_000, 100))


@pytest.fixture
def model(events: Make) -> Stepped:
    return Stepped(events("a", "b", "c", "d"))


@pytest.fixture
def call(cache: AnswerCache, model: Stepped, make_ask: Make) -> Callable[[], Caller]:
    return lambda: Caller(cache, make_ask(is_stream=True), model)


async def step(model: Stepped, num: int = 1) -> None:
    for _ in range(num):
        model.let_through.release()
        await settle()


async def test_who_is_alone_reads_a_stream_without_another_task(
    model: Stepped, call: Callable[[], Caller], cache: AnswerCache
) -> None:
    alone = call()
    await settle()
    assert len(asyncio.all_tasks()) == 3  # this one, the caller's, and the one that waits for the first frame
    for number in range(1, 4):
        await step(model)
        assert len(alone.got) == number
        assert len(asyncio.all_tasks()) == 2
    await step(model, 10)
    await alone.task
    assert alone.got == model.frames
    assert (model.num_running, len(cache._flights)) == (0, 0)
    again = call()
    await again.task
    assert again.ask.told["x-manta-cache"] == "hit"


@pytest.mark.parametrize("num_before", [0, 1, 3])
async def test_who_comes_later_shares_it_and_outlives_who_was_first(
    model: Stepped, call: Callable[[], Caller], num_before: int
) -> None:
    first = call()
    await settle()
    await step(model, num_before)
    second, third = call(), call()
    await settle()
    await step(model)
    assert first.got == second.got == third.got == model.frames[: num_before + 1]
    await first.leave()
    await settle()
    assert model.num_running == 1
    await step(model, 10)
    await asyncio.gather(second.task, third.task)
    assert second.got == third.got == model.frames
    assert (model.num_asked, model.num_running) == (1, 0)


async def test_what_is_lost_with_who_read_it_is_begun_anew(
    model: Stepped, call: Callable[[], Caller]
) -> None:
    first = call()
    await settle()
    await step(model, 2)
    others = [call(), call()]
    await settle()
    await first.leave()  # before another frame came
    await settle()
    assert [one.got for one in others] == [[], []]
    await step(model, 20)
    await asyncio.gather(*(one.task for one in others))
    assert [one.got for one in others] == [model.frames] * 2
    assert (model.num_asked, model.num_running) == (2, 0)
    assert [one.ask.told["x-manta-cache"] for one in others] == ["miss", "miss; shared"]


async def test_who_is_left_alone_again_goes_on_alone(model: Stepped, call: Callable[[], Caller]) -> None:
    first = call()
    await settle()
    await step(model, 2)
    second = call()
    await step(model)
    assert len(asyncio.all_tasks()) == 4
    await second.leave()
    await step(model)
    assert len(asyncio.all_tasks()) == 2
    await step(model, 10)
    await first.task
    assert first.got == model.frames


async def test_nobody_waits_and_nothing_goes_on(
    model: Stepped, call: Callable[[], Caller], cache: AnswerCache
) -> None:
    for num_frames in range(4):
        alone = call()
        await settle()
        await step(model, num_frames)
        await alone.leave()
        assert (model.num_running, len(cache._flights), len(asyncio.all_tasks())) == (0, 0, 1)


async def test_an_error_in_the_middle_is_everybodys(model: Stepped, call: Callable[[], Caller]) -> None:
    first = call()
    await settle()
    await step(model, 2)
    second = call()
    await settle()
    model.error = EngineFailed("broke")
    await step(model)
    errors = await asyncio.gather(first.task, second.task, return_exceptions=True)
    assert [str(error) for error in errors] == ["broke"] * 2
    assert errors[0] is not errors[1]


async def test_who_stops_at_the_last_frame_has_read_it_all(
    cache: AnswerCache, model: Stepped, make_ask: Make
) -> None:
    """As guards do: behind `[DONE]` there is nothing to look at."""
    frames = cache.frames(make_ask(is_stream=True), model.source)
    for _ in model.frames:
        model.let_through.release()
        last = await anext(frames)
    await frames.aclose()
    assert last == model.frames[-1]
    await settle()
    again = Caller(cache, make_ask(is_stream=True), model)
    await again.task
    assert again.got == model.frames
    assert (model.num_asked, model.num_running) == (1, 0)


@pytest.mark.parametrize("seed", range(40))
async def test_whoever_stays_gets_all_of_it(
    model: Stepped, call: Callable[[], Caller], cache: AnswerCache, seed: int
) -> None:
    rng = random.Random(seed)
    callers: list[Caller] = []
    for _ in range(30):
        match rng.randrange(4):
            case 0:
                callers.append(call())
            case 1 if callers:
                await callers.pop(rng.randrange(len(callers))).leave()
            case 2:
                model.let_through.release()
        for _ in range(rng.randrange(4)):
            await asyncio.sleep(0)
    await step(model, 10 * (len(callers) + 1))
    await asyncio.gather(*(one.task for one in callers))
    assert all(one.got == model.frames for one in callers)
    await settle()
    assert (model.num_running, len(cache._flights), len(asyncio.all_tasks())) == (0, 0, 1)
