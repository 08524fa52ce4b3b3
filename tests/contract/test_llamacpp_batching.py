"""What the llama.cpp chat engine promises when many texts share its batch and its cache."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import pytest

from configs.schema import FileWeights, LlamaCppModel, ScalingConfig
from serve_app.engines.base import GenerationRequest, SamplingParams, TextChunk
from serve_app.engines.llamacpp.chat import LlamaCppGenerator, open_llamacpp_chat
from serve_app.engines.llamacpp.held import Held
from serve_app.engines.llamacpp.library import Batch, Context, Model
from serve_app.engines.llamacpp.slots import Slot, Slots
from serve_app.engines.llamacpp.thread import EngineThread
from serve_app.engines.llamacpp.writing import Text
from serve_app.errors import EngineFailed
from serve_app.messages import RequestContext

OPENING = "Once upon a time, there was a little girl named Lily. She loved to play outside in the park."


def opened(path: Path, home: Path, **changes: Any) -> LlamaCppGenerator:
    given = {
        "engine": "llamacpp",
        "name": "stories",
        "weights": FileWeights(path=str(path)),
        "context_tokens": 512,
        "scaling": ScalingConfig(max_ongoing_requests=256),
    }
    return open_llamacpp_chat(LlamaCppModel(**given | changes), home, 1)


@pytest.fixture
async def generator(stories_gguf: Path, tmp_path: Path) -> AsyncIterator[LlamaCppGenerator]:
    engine = opened(stories_gguf, tmp_path)
    yield engine
    await engine.close()


def prompt(text: str = OPENING, **sampling: Any) -> GenerationRequest:
    return GenerationRequest(None, text, SamplingParams(**{"max_tokens": 20, "temperature": 0.0} | sampling))


async def run(
    engine: LlamaCppGenerator, request: GenerationRequest, context: RequestContext
) -> tuple[str, TextChunk]:
    chunks = [chunk async for chunk in engine.generate(request, context)]
    return "".join(chunk.text for chunk in chunks), chunks[-1]


class Steps:
    """Counts what the engine computes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sizes: list[int] = []
        decode = Context.decode

        def counted(context: Context, batch: Batch) -> None:
            self.sizes.append(batch.num_tokens)
            decode(context, batch)

        monkeypatch.setattr(Context, "decode", counted)


async def leaves_nothing(engine: LlamaCppGenerator) -> bool:
    """Whether the engine comes to hold nothing of any request."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(30):
            # The last chunk of a text leaves before the engine's thread clears up after it.
            while any(asdict(engine.held()).values()):  # noqa: ASYNC110 (a thread sets no event)
                await asyncio.sleep(0.01)
    return engine.held() == Held(0, 0, 0, 0, 0, 0)


async def test_200_mixed_prompts_together_give_what_each_gives_alone(
    stories_gguf: Path, tmp_path: Path, context: RequestContext
) -> None:
    rng = random.Random(7)
    words = (OPENING + " The dog was big and red. Tom and Sue ran home to see their mom and dad.").split()
    texts = [" ".join(rng.choices(words, k=rng.randint(1, 60))) for _ in range(200)]
    requests = [prompt(text, max_tokens=rng.randint(1, 40)) for text in texts]
    alone = opened(stories_gguf, tmp_path, max_sequences=1, prefix_cache_bytes=0, reproducible=True)
    batching = opened(stories_gguf, tmp_path, reproducible=True)
    try:
        expected = [await run(alone, request, context) for request in requests]
        together = await asyncio.gather(*(run(batching, request, context) for request in requests))
        assert [text for text, _ in together] == [text for text, _ in expected]
        assert await leaves_nothing(batching)
    finally:
        await alone.close()
        await batching.close()


async def test_a_prompt_that_was_read_is_not_read_again(
    generator: LlamaCppGenerator, context: RequestContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, last = await run(generator, prompt(), context)
    assert last.num_cached_tokens == 0
    steps = Steps(monkeypatch)
    again, last = await run(generator, prompt(), context)
    assert again == first
    assert last.num_cached_tokens == last.num_prompt_tokens - 1
    assert steps.sizes == [1] * 20


async def test_callers_who_come_together_read_their_common_beginning_once(
    generator: LlamaCppGenerator, context: RequestContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening = (OPENING + " ") * 8
    steps = Steps(monkeypatch)
    requests = [prompt(opening + end, max_tokens=1) for end in ("Tom", "Sue", "Ben", "Mia", "Max")]
    answers = await asyncio.gather(*(run(generator, request, context) for request in requests))
    num_prompt = [last.num_prompt_tokens for _, last in answers]
    num_cached = sorted(last.num_cached_tokens for _, last in answers)
    assert min(num_prompt) > 200
    assert num_cached[0] == 0  # whoever was first
    assert num_cached[1] >= min(num_prompt) - 5
    assert sum(steps.sizes) == sum(num_prompt) - sum(num_cached)


async def test_a_turn_goes_on_where_the_conversation_stopped(
    generator: LlamaCppGenerator, context: RequestContext
) -> None:
    text, last = await run(generator, prompt(), context)
    num_before = last.num_prompt_tokens + last.num_completion_tokens
    _, last = await run(generator, prompt(OPENING + text + " The end."), context)
    assert last.num_cached_tokens >= num_before - 5


async def test_conversations_in_turns_find_their_beginnings_whatever_slot_they_had(
    stories_gguf: Path, tmp_path: Path, context: RequestContext
) -> None:
    engine = opened(stories_gguf, tmp_path, max_sequences=2)
    try:
        texts = {name: f"{name} " + OPENING * 4 for name in ("Tom", "Sue", "Ben", "Mia", "Max")}
        for turn in range(3):
            for name, text in texts.items():
                answer, last = await run(engine, prompt(text), context)
                if turn:
                    assert last.num_cached_tokens >= last.num_prompt_tokens - 8
                texts[name] = text + answer + " And then?"
    finally:
        await engine.close()


async def test_without_memory_for_them_earlier_texts_are_forgotten(
    stories_gguf: Path, tmp_path: Path, context: RequestContext
) -> None:
    engine = opened(stories_gguf, tmp_path, max_sequences=1, prefix_cache_bytes=0)
    try:
        first, _ = await run(engine, prompt(), context)
        await run(engine, prompt("Tom " + OPENING), context)
        again, last = await run(engine, prompt(), context)
        assert again == first
        assert last.num_cached_tokens <= 1  # the BOS token
    finally:
        await engine.close()


async def test_a_text_that_moves_to_close_a_gap_goes_on_as_if_nothing_were(
    stories_gguf: Path, tmp_path: Path, context: RequestContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    moves: list[object] = []
    close_ranks = Slots.close_ranks

    def counted(slots: Slots) -> Any:
        moved = close_ranks(slots)
        moves.extend([moved] if moved else [])
        return moved

    may_begin = threading.Event()
    decode, submit = Context.decode, EngineThread.submit
    num_submitted = 0

    def held(context: Context, batch: Batch) -> None:
        assert may_begin.wait(60)
        decode(context, batch)

    def noted(thread: Any, job: Any) -> None:
        nonlocal num_submitted
        submit(thread, job)
        num_submitted += 1

    monkeypatch.setattr(Slots, "close_ranks", counted)
    engine = opened(stories_gguf, tmp_path, max_sequences=4, reproducible=True)
    monkeypatch.setattr(Context, "decode", held)
    monkeypatch.setattr(EngineThread, "submit", noted)
    try:
        lengths = (200, 30, 60, 200)
        requests = [
            prompt(f"{index}. " + OPENING, max_tokens=length, ignore_eos=True)
            for index, length in enumerate(lengths)
        ]
        writing = []
        for num_before, request in enumerate(requests):  # in this order; the first step waits for all of them
            writing.append(asyncio.create_task(run(engine, request, context)))
            while num_submitted == num_before:  # noqa: ASYNC110 (a pool's threads set no event)
                await asyncio.sleep(0.01)
        may_begin.set()
        together = await asyncio.gather(*writing)
        assert moves
        alone = [await run(engine, request, context) for request in requests]
        assert [text for text, _ in together] == [text for text, _ in alone]
    finally:
        await engine.close()


async def test_a_long_prompt_does_not_stop_the_streams(
    stories_gguf: Path, tmp_path: Path, context: RequestContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = opened(stories_gguf, tmp_path, max_sequences=2, max_step_tokens=64)
    try:
        endless = engine.generate(prompt(max_tokens=400, ignore_eos=True), context)
        async with aclosing(cast("Any", endless)) as stream:
            await anext(stream)
            steps = Steps(monkeypatch)
            await run(engine, prompt(("The dog ran home. " * 50), max_tokens=1), context)
        assert max(steps.sizes) <= 64 + 1  # of the prompt, and one of the text that is written
    finally:
        await engine.close()


async def test_whoever_leaves_while_their_prompt_is_read_or_waits_leaves_nothing(
    stories_gguf: Path, tmp_path: Path, context: RequestContext
) -> None:
    engine = opened(stories_gguf, tmp_path, max_sequences=2, max_step_tokens=32)
    rng = random.Random(3)
    try:
        tasks = []
        for index in range(60):
            request = prompt(f"{index} " + OPENING * rng.randint(1, 4), max_tokens=rng.randint(1, 30))
            tasks.append(asyncio.create_task(run(engine, request, context)))
            await asyncio.sleep(rng.random() * 0.004)
            if rng.random() < 0.6:
                rng.choice(tasks).cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (await run(engine, prompt(), context))[1].num_completion_tokens == 20
        assert await leaves_nothing(engine)
    finally:
        await engine.close()


async def test_a_caller_who_leaves_while_the_engine_clears_up_after_another_leaves_nothing(
    generator: LlamaCppGenerator, context: RequestContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave = Slots.leave

    def left(slots: Slots, slot: Slot) -> None:
        for text in generator._engine._texts:
            text.job.is_over = True
        leave(slots, slot)

    endless = cast("Any", generator.generate(prompt(max_tokens=400, ignore_eos=True), context))
    async with aclosing(endless) as first:
        await anext(first)
        with monkeypatch.context() as racing:
            racing.setattr(Slots, "leave", left)
            await run(generator, prompt("Tom", max_tokens=2, ignore_eos=True), context)
            while generator.held().num_jobs:  # noqa: ASYNC110 (a thread sets no event)
                await asyncio.sleep(0.01)
    assert await leaves_nothing(generator)


async def test_a_caller_who_leaves_while_a_token_is_chosen_has_left(
    generator: LlamaCppGenerator, context: RequestContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Steps(monkeypatch)
    write = Text.write

    def left(text: Text, engine_context: Context, row: int) -> bool:
        is_complete = write(text, engine_context, row)
        text.job.is_over = True
        return is_complete

    monkeypatch.setattr(Text, "write", left)
    endless = asyncio.create_task(run(generator, prompt(max_tokens=400, ignore_eos=True), context))
    while not steps.sizes or generator.held().num_texts:  # noqa: ASYNC110 (a thread sets no event)
        await asyncio.sleep(0.01)
    endless.cancel()
    assert len(steps.sizes) == 1
    assert await leaves_nothing(generator)


async def test_a_failed_step_leaves_nothing_of_its_texts_in_the_cache(
    generator: LlamaCppGenerator, context: RequestContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, _ = await run(generator, prompt(), context)

    def fail(*_: object) -> None:
        raise EngineFailed("broken")

    with monkeypatch.context() as broken:
        broken.setattr(Context, "decode", fail)
        failed = await asyncio.gather(
            *(run(generator, prompt(), context) for _ in range(3)), return_exceptions=True
        )
    assert all(isinstance(error, EngineFailed) for error in failed)
    text, _ = await run(generator, prompt(), context)
    assert text == expected
    assert await leaves_nothing(generator)


async def test_a_seed_gives_its_text_whoever_else_is_there(
    generator: LlamaCppGenerator, context: RequestContext
) -> None:
    seeded = prompt(temperature=1.0, seed=11)
    alone, _ = await run(generator, seeded, context)
    others = [prompt(f"{index} dogs", temperature=1.0, seed=index) for index in range(12)]
    together = await asyncio.gather(*(run(generator, request, context) for request in [seeded, *others]))
    assert together[0][0] == alone


async def test_a_sequence_that_was_full_becomes_as_empty_as_the_one_that_it_is_made_of(
    stories_gguf: Path,
) -> None:
    model = Model(stories_gguf)
    memory = Context(model, 1, n_ctx=512, n_batch=32, n_ubatch=32, n_seq_max=2, kv_unified=False)
    batch = Batch(32)
    try:
        ids = model.tokenize(OPENING, add_special=True, parse_special=False)[:20]
        batch.add(ids, 0, 0, outputs=slice(-1, None))
        memory.decode(batch)
        memory.restore(0, memory.state(1))
        batch.clear()
        batch.add(ids, 0, 0, outputs=slice(-1, None))  # llama.cpp refuses positions that do not follow
        memory.decode(batch)
    finally:
        memory.close()
        model.close()
