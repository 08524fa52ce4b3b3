"""What the llama.cpp chat engine promises beyond the contract of all chat engines."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from configs.schema import CatalogueWeights, FileWeights, LlamaCppModel, ScalingConfig
from serve_app.engines.base import GenerationRequest, SamplingParams, TextChunk
from serve_app.engines.llamacpp.chat import LlamaCppGenerator, open_llamacpp_chat
from serve_app.engines.llamacpp.library import Batch, Context, Model
from serve_app.errors import (
    BadRequest,
    ConfigError,
    DeadlineExceeded,
    EngineFailed,
    InputTooLong,
    Overloaded,
    Unavailable,
)
from serve_app.messages import Deadline, RequestContext
from serve_app.openai_api.requests import ChatMessage

CHATML = (
    "{% for message in messages %}<{{ message.role }}>{{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def config(path: Path, **changes: Any) -> LlamaCppModel:
    given = {
        "engine": "llamacpp",
        "name": "stories",
        "weights": FileWeights(path=str(path)),
        "context_tokens": 512,
    }
    return LlamaCppModel(**given | changes)


@pytest.fixture
async def generator(stories_gguf: Path, tmp_path: Path) -> AsyncIterator[LlamaCppGenerator]:
    engine = open_llamacpp_chat(config(stories_gguf), tmp_path, 1)
    yield engine
    await engine.close()


def prompt(text: str = "Once upon a time", **sampling: Any) -> GenerationRequest:
    return GenerationRequest(None, text, SamplingParams(**{"max_tokens": 40, "temperature": 0.0} | sampling))


async def run(
    engine: LlamaCppGenerator, request: GenerationRequest, context: RequestContext
) -> tuple[str, TextChunk]:
    chunks = [chunk async for chunk in engine.generate(request, context)]
    assert [chunk.finish_reason is None for chunk in chunks] == [True] * (len(chunks) - 1) + [False]
    # How the text was cut into chunks depends on the reader's pace, and what was cached on who was there before.
    return "".join(chunk.text for chunk in chunks), replace(chunks[-1], text="", num_cached_tokens=0)


async def test_greedy_text_is_the_models(generator: LlamaCppGenerator, context: RequestContext) -> None:
    text, last = await run(generator, prompt(), context)
    assert text.startswith(", there was a little girl named Lily.")
    assert last.finish_reason == "length"
    assert (last.num_prompt_tokens, last.num_completion_tokens) == (5, 40)
    assert (await run(generator, prompt(), context))[0] == text


async def test_a_long_prompt_in_pieces_gives_what_the_whole_gives(
    generator: LlamaCppGenerator, stories_gguf: Path, tmp_path: Path, context: RequestContext
) -> None:
    story, _ = await run(generator, prompt(max_tokens=300), context)
    opening = "Once upon a time" + story
    in_two = await run(generator, prompt(opening), context)
    assert in_two[1].num_prompt_tokens > 256
    small = open_llamacpp_chat(config(stories_gguf, max_step_tokens=32), tmp_path, 1)
    try:
        assert await run(small, prompt(opening), context) == in_two
    finally:
        await small.close()


async def test_a_seed_repeats_its_text_and_another_gives_another(
    generator: LlamaCppGenerator, context: RequestContext
) -> None:
    texts = [(await run(generator, prompt(temperature=1.0, seed=seed), context))[0] for seed in (1, 1, 2, 3)]
    assert texts[0] == texts[1]
    assert len(set(texts)) == 3


@pytest.mark.parametrize(
    "sampling",
    [{"top_k": 1}, {"top_p": 1e-6}, {"min_p": 1.0}],
    ids=["top_k", "top_p", "min_p"],
)
async def test_filters_that_leave_one_token_are_greedy(
    generator: LlamaCppGenerator, context: RequestContext, sampling: dict[str, Any]
) -> None:
    greedy = (await run(generator, prompt(), context))[0]
    assert (await run(generator, prompt(temperature=1.5, seed=5, **sampling), context))[0] == greedy


async def test_penalties_change_what_repeats(generator: LlamaCppGenerator, context: RequestContext) -> None:
    plain = (await run(generator, prompt(max_tokens=100), context))[0]
    assert (await run(generator, prompt(max_tokens=100, frequency_penalty=2.0), context))[0] != plain
    assert (await run(generator, prompt(max_tokens=100, presence_penalty=2.0), context))[0] != plain


async def test_stop_strings_across_tokens_are_not_sent(
    generator: LlamaCppGenerator, context: RequestContext
) -> None:
    text, last = await run(generator, prompt(stop=("girl named",)), context)
    assert text == ", there was a little "
    assert last.finish_reason == "stop"
    assert last.num_completion_tokens < 40


async def test_the_end_token_ends_and_when_ignored_is_never_chosen(
    generator: LlamaCppGenerator, context: RequestContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The toy model does not end its stories, so its full stop stands in for the end token.
    full_stop = generator._model.tokenize(".", add_special=False, parse_special=False)[-1]
    monkeypatch.setattr(Model, "is_end", lambda _, token: token == full_stop)
    text, last = await run(generator, prompt(max_tokens=None), context)
    assert text == ", there was a little girl named Lily"
    assert last.finish_reason == "stop"
    text, last = await run(generator, prompt(max_tokens=None, ignore_eos=True), context)
    assert "." not in text
    assert last.finish_reason == "length"
    assert last.num_prompt_tokens + last.num_completion_tokens == 512


async def test_characters_of_several_tokens_come_whole(
    generator: LlamaCppGenerator, context: RequestContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = "深🐟é".encode()
    pieces = iter([bytes([byte]) for byte in wanted] + ["深".encode()[:2]])
    monkeypatch.setattr(Model, "piece", lambda *_args, **_kw: next(pieces))
    monkeypatch.setattr(Model, "is_end", lambda *_: False)
    request = prompt(max_tokens=len(wanted) + 1)
    chunks = [chunk async for chunk in generator.generate(request, context)]
    assert "".join(chunk.text for chunk in chunks) == "深🐟é"  # and half a character at the end is no text
    assert all("\N{REPLACEMENT CHARACTER}" not in chunk.text for chunk in chunks)


async def test_token_ids_are_a_prompt(generator: LlamaCppGenerator, context: RequestContext) -> None:
    ids = tuple(generator._model.tokenize("Once upon a time", add_special=True, parse_special=False).tolist())
    as_ids = GenerationRequest(None, ids, prompt().sampling)
    assert await run(generator, as_ids, context) == await run(generator, prompt(), context)
    with pytest.raises(BadRequest, match=r"prompt\.1: stories has tokens 0 to 511, not 512"):
        await run(generator, replace(as_ids, prompt=(1, 512)), context)
    with pytest.raises(BadRequest, match="the prompt is empty"):
        await run(generator, replace(as_ids, prompt=()), context)


async def test_a_prompt_over_the_context_is_refused_with_both_numbers(
    generator: LlamaCppGenerator, context: RequestContext
) -> None:
    with pytest.raises(InputTooLong, match=r"the prompt has \d{4} tokens; stories takes 512") as caught:
        await run(generator, prompt("story " * 1000), context)
    assert caught.value.param == "prompt"


async def test_without_a_template_chat_is_refused_with_a_way_out(
    generator: LlamaCppGenerator, context: RequestContext
) -> None:
    request = GenerationRequest((ChatMessage(role="user", content="hi"),), None, SamplingParams())
    with pytest.raises(BadRequest, match="stories has no chat template; send your prompt to /v1/completions"):
        await run(generator, request, context)


async def test_a_conversation_goes_through_the_models_template(
    stories_with_template: Callable[[str], Path], tmp_path: Path, context: RequestContext
) -> None:
    engine = open_llamacpp_chat(config(stories_with_template(CHATML)), tmp_path, 1)
    try:
        turns = (ChatMessage(role="developer", content="Be brief."), ChatMessage(role="user", content="Hi"))
        rendered = "<system>Be brief.\n<user>Hi\n<assistant>"
        assert engine._template.render(turns) == rendered
        as_chat = await run(engine, GenerationRequest(turns, None, prompt().sampling), context)
        assert as_chat == await run(engine, prompt(rendered), context)
        environment = cast("Any", engine._template._formatter)._environment.environment
        assert isinstance(environment, ImmutableSandboxedEnvironment)
    finally:
        await engine.close()


@pytest.mark.parametrize(
    "template",
    [
        "{{ raise_exception('roles must alternate') }}",
        "{{ messages.__class__.__mro__ }}",  # out of the sandbox
        "{{ messages[7].content.upper() }}",
    ],
)
async def test_a_template_that_refuses_is_a_bad_request(
    stories_with_template: Callable[[str], Path], tmp_path: Path, context: RequestContext, template: str
) -> None:
    engine = open_llamacpp_chat(config(stories_with_template(template)), tmp_path, 1)
    try:
        request = GenerationRequest((ChatMessage(role="user", content="hi"),), None, SamplingParams())
        with pytest.raises(BadRequest, match="stories's chat template refuses the messages"):
            await run(engine, request, context)
    finally:
        await engine.close()


class Gate:
    """Holds the engine's thread at each step until it is let go, and counts the steps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.may_go_on = threading.Semaphore(0)
        self.at_step = threading.Semaphore(0)
        self.is_open = False
        self.num_steps = 0
        decode = Context.decode

        def gated(context: Context, batch: Batch) -> None:
            self.at_step.release()
            if not self.is_open:
                assert self.may_go_on.acquire(timeout=30)
            self.num_steps += 1
            decode(context, batch)

        monkeypatch.setattr(Context, "decode", gated)

    async def reached(self) -> None:
        assert await asyncio.to_thread(self.at_step.acquire, timeout=30)

    def open(self) -> None:
        self.is_open = True
        self.may_go_on.release()


async def test_a_caller_who_leaves_frees_the_engine_within_one_step(
    generator: LlamaCppGenerator, context: RequestContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    leaves = asyncio.create_task(run(generator, prompt(max_tokens=400, ignore_eos=True), context))
    await gate.reached()
    leaves.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaves
    gate.open()
    assert (await run(generator, prompt(max_tokens=1), context))[1].num_completion_tokens == 1
    assert gate.num_steps == 2  # the one it was in, and the other caller's prompt
    assert generator.held().num_requests == 0


async def test_closing_the_stream_frees_the_engine(
    generator: LlamaCppGenerator, context: RequestContext
) -> None:
    endless = prompt(max_tokens=400, ignore_eos=True)
    async with aclosing(cast("Any", generator.generate(endless, context))) as chunks:
        await anext(chunks)
    assert (await run(generator, prompt(max_tokens=1), context))[1].finish_reason == "length"
    assert generator.held().num_requests == 0


async def test_a_deadline_that_passes_in_the_queue_never_starts(
    generator: LlamaCppGenerator, context: RequestContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    first = asyncio.create_task(run(generator, prompt(max_tokens=1), context))
    await gate.reached()
    soon = replace(context, deadline=Deadline.after(0.05))
    late = asyncio.create_task(run(generator, prompt(max_tokens=1), soon))
    await asyncio.sleep(0.1)
    gate.open()
    with pytest.raises(DeadlineExceeded):
        await late
    await first
    assert gate.num_steps == 1


async def test_more_callers_than_places_are_told_to_come_back(
    stories_gguf: Path, tmp_path: Path, context: RequestContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    engine = open_llamacpp_chat(
        config(stories_gguf, scaling=ScalingConfig(max_ongoing_requests=2)), tmp_path, 1
    )
    try:
        tasks = [asyncio.create_task(run(engine, prompt(max_tokens=3), context)) for _ in range(2)]
        await gate.reached()
        with pytest.raises(Overloaded, match="stories has 2 requests already"):
            await run(engine, prompt(), context)
        gate.open()
        assert [last.num_completion_tokens for _, last in await asyncio.gather(*tasks)] == [3, 3]
    finally:
        gate.open()
        await engine.close()


async def test_many_callers_get_their_own_text(generator: LlamaCppGenerator, context: RequestContext) -> None:
    openings = ["Once upon a time", "Lily", "The dog", "One day", "Tom and"]
    alone = [await run(generator, prompt(text), context) for text in openings]
    together = await asyncio.gather(*(run(generator, prompt(text), context) for text in openings * 4))
    assert list(together) == alone * 4


async def test_a_failing_step_fails_its_caller_only(
    generator: LlamaCppGenerator, context: RequestContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise EngineFailed("broken")

    with monkeypatch.context() as broken:
        broken.setattr(Context, "decode", fail)
        with pytest.raises(EngineFailed, match="broken"):
            await run(generator, prompt(), context)
    await generator.check_health()
    assert (await run(generator, prompt(), context))[1].num_completion_tokens == 40


async def test_a_context_above_the_trained_one_is_refused(stories_gguf: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="context_tokens 4096 is above the 512 that stories260K-f32"):
        open_llamacpp_chat(config(stories_gguf, context_tokens=4096), tmp_path, 1)


async def test_weights_that_cannot_be_fetched_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nothing listens there
    wanted = CatalogueWeights(catalogue="smollm2-360m-instruct")
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1 cannot be reached for .*smollm2-360m"):
        open_llamacpp_chat(config(tmp_path, weights=wanted), tmp_path, 1)


async def test_a_damaged_file_is_named(stories_gguf: Path, tmp_path: Path) -> None:
    path = tmp_path / "half.gguf"
    path.write_bytes(stories_gguf.read_bytes()[:600_000])
    with pytest.raises(
        ConfigError, match=r"half\.gguf: llama\.cpp cannot load it: .*not within the file bounds"
    ):
        open_llamacpp_chat(config(path), tmp_path, 1)


async def test_an_encoder_cannot_chat(minilm_home: Path, tmp_path: Path) -> None:
    path = next((minilm_home / "models").glob("all-minilm-l6-v2.*.gguf"))
    with pytest.raises(ConfigError, match="is an encoder; it cannot generate text"):
        open_llamacpp_chat(config(path, context_tokens=128), tmp_path, 1)
