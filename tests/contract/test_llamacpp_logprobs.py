"""Log-probabilities and the sampling parameters that bend them, on the real model."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.schema import FileWeights, LlamaCppModel
from serve_app.engines.llamacpp.chat import LlamaCppGenerator, open_llamacpp_chat
from serve_app.engines.llamacpp.library import Context
from serve_app.engines.text_edge import TextEdge
from serve_app.errors import BadRequest
from serve_app.messages import Endpoint, JsonObject, RequestContext
from serve_app.openai_api.sse import SseReader

TEMPLATE = "{% for message in messages %}{{ message.content }}{% endfor %}"


@pytest.fixture
async def generator(stories_with_template: Any, tmp_path: Path) -> AsyncIterator[LlamaCppGenerator]:
    path = stories_with_template(TEMPLATE)
    config = LlamaCppModel(
        name="stories",
        engine="llamacpp",
        weights=FileWeights(path=str(path)),
        context_tokens=512,
    )
    opened = open_llamacpp_chat(config, tmp_path, 1)
    yield opened
    await opened.close()


def completion(**fields: Any) -> JsonObject:
    return {"model": "m", "prompt": "Once upon a time", "max_tokens": 12, "temperature": 0} | fields


def chat(**fields: Any) -> JsonObject:
    messages = [{"role": "user", "content": "Once upon a time"}]
    return {"model": "m", "messages": messages, "max_tokens": 12, "temperature": 0, "logprobs": True} | fields


async def choice(generator: LlamaCppGenerator, asked: JsonObject, context: RequestContext) -> Any:
    endpoint = Endpoint.CHAT if "messages" in asked else Endpoint.COMPLETIONS
    return json.loads(await TextEdge(generator).respond(endpoint, asked, context))["choices"][0]


async def streamed(generator: LlamaCppGenerator, asked: JsonObject, context: RequestContext) -> list[Any]:
    endpoint = Endpoint.CHAT if "messages" in asked else Endpoint.COMPLETIONS
    frames = [
        frame async for frame in TextEdge(generator).stream(endpoint, asked | {"stream": True}, context)
    ]
    return [json.loads(data)["choices"][0] for data in SseReader().feed(b"".join(frames)) if data != "[DONE]"]


async def test_they_are_those_of_the_models_logits(
    generator: LlamaCppGenerator, context: RequestContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[np.ndarray[Any, Any]] = []
    logits = Context.logits

    def kept(self: Context, row: int) -> Any:
        found = logits(self, row)
        seen.append(found.astype(np.float64))
        return found

    monkeypatch.setattr(Context, "logits", kept)
    # Nothing that bends the choice bends what is told of it.
    banned = generator._model.tokenize(",", add_special=False, parse_special=False)[-1]
    bent: JsonObject = {"temperature": 1.5, "seed": 3, "top_k": 5, "logit_bias": {str(banned): -100}}
    made = await choice(generator, chat(top_logprobs=3, frequency_penalty=1.0, **bent), context)
    told = made["logprobs"]["content"]
    assert len(told) == len(seen) == 12
    assert "".join(one["token"] for one in told) == made["message"]["content"]
    for one, row in zip(told, seen, strict=True):
        expected = row - np.log(np.exp(row - row.max()).sum()) - row.max()
        best = np.sort(expected)[::-1][:3]
        np.testing.assert_allclose([top["logprob"] for top in one["top_logprobs"]], best, atol=1e-5)
        assert np.abs(expected - one["logprob"]).min() < 1e-5
        assert bytes(one["bytes"]).decode() == one["token"]


async def test_a_stream_tells_the_same(generator: LlamaCppGenerator, context: RequestContext) -> None:
    # A prompt that is in the cache is computed in another way, which shows in the fourth digit.
    for asked, key in ((chat(top_logprobs=2), "content"), (completion(logprobs=2), "tokens")):
        whole = (await choice(generator, asked, context))["logprobs"]
        parts = [one["logprobs"] for one in await streamed(generator, asked, context) if one["logprobs"]]
        told = [item for part in parts for item in part[key]]
        if key == "content":
            assert [one["token"] for one in told] == [one["token"] for one in whole[key]]
            logprobs = [[one["logprob"] for one in tokens] for tokens in (told, whole[key])]
            np.testing.assert_allclose(*logprobs, atol=1e-2)
        else:
            assert told == whole[key]
            assert [at for part in parts for at in part["text_offset"]] == whole["text_offset"]


async def test_completions_have_their_own_shape(
    generator: LlamaCppGenerator, context: RequestContext
) -> None:
    made = await choice(generator, completion(logprobs=2), context)
    told = made["logprobs"]
    assert "".join(told["tokens"]) == made["text"]
    for index, (token, offset) in enumerate(zip(told["tokens"], told["text_offset"], strict=True)):
        assert made["text"][offset:].startswith(token)
        assert told["top_logprobs"][index][token] == told["token_logprobs"][index]
        assert 2 <= len(told["top_logprobs"][index]) <= 3
    assert (await choice(generator, completion(logprobs=0), context))["logprobs"]["tokens"] == told["tokens"]
    assert (await choice(generator, completion(), context))["logprobs"] is None


async def test_nothing_is_told_of_what_a_stop_string_took(
    generator: LlamaCppGenerator, context: RequestContext
) -> None:
    plain = (await choice(generator, chat(), context))["message"]["content"]
    stop = plain[10:16]
    made = await choice(generator, chat(stop=[stop]), context)
    text = "".join(one["token"] for one in made["logprobs"]["content"])
    assert text.startswith(made["message"]["content"])
    assert not text.removeprefix(made["message"]["content"]) or stop.startswith(
        text.removeprefix(made["message"]["content"])[:1]
    )
    assert stop not in text


async def test_a_bias_bans_and_forces(generator: LlamaCppGenerator, context: RequestContext) -> None:
    plain = (await choice(generator, completion(), context))["text"]
    ids = generator._model.tokenize(plain, add_special=False, parse_special=False)
    banned = {str(token): -100 for token in {*ids.tolist()}}
    assert (await choice(generator, completion(logit_bias=banned), context))["text"] != plain
    forced = int(generator._model.tokenize("dog", add_special=False, parse_special=False)[-1])
    made = await choice(generator, completion(logit_bias={str(forced): 100}, max_tokens=3), context)
    assert made["text"] == generator._model.piece(forced).decode() * 3
    with pytest.raises(BadRequest, match=r"logit_bias\.512: stories has tokens 0 to 511") as caught:
        await choice(generator, completion(logit_bias={"512": 1}), context)
    assert caught.value.param == "logit_bias"


async def test_a_repetition_penalty_counts_the_prompt(
    generator: LlamaCppGenerator, context: RequestContext
) -> None:
    """The first token has no answer before it, so only the prompt can have changed it."""
    prompt = "Lily and Tom. Lily and Tom. Lily and"
    asked = completion(prompt=prompt, max_tokens=1)
    plain = (await choice(generator, asked, context))["text"]
    assert plain.strip() in prompt
    assert (await choice(generator, asked | {"repetition_penalty": 2.0}, context))["text"] != plain
    assert (await choice(generator, asked | {"frequency_penalty": 2.0}, context))["text"] == plain


async def test_an_answer_does_not_end_before_min_tokens(
    generator: LlamaCppGenerator, context: RequestContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The toy model does not end its stories, so its comma stands in for the end token.
    comma = int(generator._model.tokenize(",", add_special=False, parse_special=False)[-1])
    monkeypatch.setattr(type(generator._model), "is_end", lambda _, token: token == comma)
    assert (await choice(generator, completion(), context))["text"] == ""
    made = await choice(generator, completion(min_tokens=5), context)
    assert len(made["text"]) > 4
