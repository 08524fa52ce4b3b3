from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from configs.schema import MockModel
from serve_app.engines import mock_faults
from serve_app.engines.base import GenerationRequest, SamplingParams, TextChunk
from serve_app.engines.mock import MockGenerator
from serve_app.engines.mock_faults import Fault, FaultKind, ordered_fault
from serve_app.errors import BadRequest, EngineFailed
from serve_app.messages import RequestContext
from serve_app.openai_api.requests import ChatMessage


def model(**changes: Any) -> MockGenerator:
    settings = {"name": "m", "engine": "mock", "ttft_ms": 0, "tpot_ms": 0, "faults": True} | changes
    return MockGenerator(MockModel.model_validate(settings))


def request(prompt: str) -> GenerationRequest:
    return GenerationRequest(None, prompt, SamplingParams(max_tokens=5))


async def collect(seen: list[TextChunk], stream: AsyncIterator[TextChunk]) -> None:
    async for chunk in stream:
        seen.append(chunk)  # noqa: PERF401 (what came before an error is kept)


async def chunks(generator: MockGenerator, prompt: str, context: RequestContext) -> list[TextChunk]:
    return [chunk async for chunk in generator.generate(request(prompt), context)]


def test_an_order_stands_anywhere_in_the_text_and_the_last_one_counts() -> None:
    assert ordered_fault(request("no fault at all, default:x=1")) is None
    assert ordered_fault(request("fault:hang_engine")) == Fault(FaultKind.HANG_ENGINE, 0.0)
    messages = tuple(
        ChatMessage(role="user", content=text) for text in ("fault:die=2", "now fault:hang_loop=0.5, please")
    )
    assert ordered_fault(GenerationRequest(messages, None, SamplingParams())) == Fault(
        FaultKind.HANG_LOOP, 0.5
    )


def test_an_unknown_order_is_refused() -> None:
    with pytest.raises(BadRequest, match="no fault 'explode'; there are: hang_loop, "):
        ordered_fault(request("fault:explode"))


async def test_nothing_happens_where_faults_are_not_configured(context: RequestContext) -> None:
    assert len(await chunks(model(faults=False), "fault:fail=2", context)) == 5


async def test_it_fails_after_so_many_tokens(context: RequestContext) -> None:
    seen: list[TextChunk] = []
    with pytest.raises(EngineFailed, match="after 2 tokens"):
        await collect(seen, model().generate(request("fault:fail=2"), context))
    assert len(seen) == 2


async def test_it_ends_the_process_after_so_many_tokens(
    context: RequestContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ended(BaseException):
        pass

    def end(code: int) -> None:
        raise Ended

    monkeypatch.setattr(mock_faults.os, "_exit", end)
    seen: list[TextChunk] = []
    with pytest.raises(Ended):
        await collect(seen, model().generate(request("fault:die=3"), context))
    assert len(seen) == 3


async def test_it_blocks_the_loop(context: RequestContext, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked: list[float] = []
    monkeypatch.setattr(mock_faults.time, "sleep", blocked.append)
    assert len(await chunks(model(), "fault:hang_loop=7", context)) == 5
    assert blocked == [7.0]


async def test_garbage_in_a_row_makes_it_unhealthy_until_something_succeeds(context: RequestContext) -> None:
    generator = model(scaling={"health": {"max_failures": 2}})
    for _ in range(2):
        await generator.check_health()
        with pytest.raises(EngineFailed, match="nan"):
            await chunks(generator, "fault:garbage", context)
    with pytest.raises(EngineFailed, match="m failed 2 times in a row"):
        await generator.check_health()
    await chunks(generator, "well", context)
    await generator.check_health()


@pytest.mark.parametrize("batching", [{}, {"prefill_us_per_token": 1}])
async def test_a_hang_holds_everybody_until_it_is_found(
    context: RequestContext, batching: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = model(scaling={"health": {"max_step_s": 10}}, tpot_ms=1, **batching)

    async def first_and_rest(stream: AsyncIterator[TextChunk]) -> None:
        async with aclosing(stream) as chunks:  # type: ignore[type-var]
            async for _ in chunks:
                is_under_way.set()

    is_under_way = asyncio.Event()
    healthy = asyncio.create_task(
        first_and_rest(
            generator.generate(GenerationRequest(None, "long", SamplingParams(max_tokens=10_000)), context)
        )
    )
    await is_under_way.wait()
    hanging = asyncio.create_task(chunks(generator, "fault:hang_engine", context))
    await asyncio.sleep(0.05)
    await generator.check_health()
    assert not hanging.done()
    assert not healthy.done()
    clock_s = generator._hang._progress._clock()
    monkeypatch.setattr(generator._hang._progress, "_clock", lambda: clock_s + 11.0)
    with pytest.raises(EngineFailed, match="the engine of m hangs"):
        await generator.check_health()
    for task in (hanging, healthy):
        with pytest.raises(EngineFailed, match="the engine of m hangs"):
            await task
    await generator.close()
