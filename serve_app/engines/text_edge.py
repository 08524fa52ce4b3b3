"""OpenAI's text endpoints over a TextGenerator: parse, refuse what is not served, shape the answer.

Knows nothing of how text is made.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from serve_app.engines.base import GenerationRequest, SamplingParams, TextChunk, TextGenerator
from serve_app.errors import BadRequest, EngineFailed
from serve_app.messages import Endpoint, JsonObject, ModelCard, RequestContext
from serve_app.openai_api.requests import (
    ChatCompletionRequest,
    CompletionRequest,
    parse_chat,
    parse_completion,
)
from serve_app.openai_api.responses import DONE, TextShape, usage
from serve_app.streams import until_deadline


class TextEdge:
    """A ModelEngine made of a TextGenerator."""

    def __init__(self, generator: TextGenerator) -> None:
        self._generator = generator

    def card(self) -> ModelCard:
        return self._generator.card()

    async def respond(self, endpoint: Endpoint, body: JsonObject, context: RequestContext) -> bytes:
        request, generation = _parse(endpoint, body)
        pieces: list[str] = []
        async with aclosing(self._chunks(generation, context)) as chunks:
            async for chunk in chunks:
                pieces.append(chunk.text)
                if chunk.finish_reason:
                    counts = _usage(chunk)
                    return _shape(request, context).document("".join(pieces), chunk.finish_reason, counts)
        raise EngineFailed(f"{self.card().name} ended without a finish reason")

    async def stream(
        self, endpoint: Endpoint, body: JsonObject, context: RequestContext
    ) -> AsyncIterator[bytes]:
        request, generation = _parse(endpoint, body)
        shape = _shape(request, context)
        opening = shape.opening()  # leaves with the first text, so that an early error can still be a status
        async with aclosing(self._chunks(generation, context)) as chunks:
            async for chunk in chunks:
                if chunk.text:
                    yield opening + shape.delta(chunk.text)
                    opening = b""
                if chunk.finish_reason:
                    tail = opening + shape.finish(chunk.finish_reason)
                    if request.stream_options and request.stream_options.include_usage:
                        tail += shape.counts(_usage(chunk))
                    yield tail + DONE
                    return
        raise EngineFailed(f"{self.card().name} ended without a finish reason")

    async def check_health(self) -> None:
        await self._generator.check_health()

    async def close(self) -> None:
        await self._generator.close()

    def _chunks(self, generation: GenerationRequest, context: RequestContext) -> AsyncGenerator[TextChunk]:
        context.deadline.check("engine queue")
        return until_deadline(self._generator.generate(generation, context), context.deadline, "generate")


def _parse(
    endpoint: Endpoint, body: JsonObject
) -> tuple[ChatCompletionRequest | CompletionRequest, GenerationRequest]:
    request: ChatCompletionRequest | CompletionRequest
    if endpoint is Endpoint.CHAT:
        request = parse_chat(body)
        _refuse_chat(request)
        generation = GenerationRequest(tuple(request.messages), None, _sampling(request))
    elif endpoint is Endpoint.COMPLETIONS:
        request = parse_completion(body)
        _refuse_completion(request)
        generation = GenerationRequest(None, _one_prompt(request), _sampling(request))
    else:
        raise BadRequest(f"this model does not serve /v1/{endpoint}", "model")
    return request, generation


def _refuse(param: str, asked: object) -> None:
    """What we do not serve is refused by name, never silently left out."""
    if asked:
        raise BadRequest(f"{param} is not served by this model", param)


def _refuse_chat(request: ChatCompletionRequest) -> None:
    # Declared tools that may not be called change nothing, so they are let through.
    _refuse("tools", request.tools and request.tool_choice != "none")
    _refuse("response_format", request.response_format and request.response_format.get("type") != "text")
    _refuse("logprobs", request.logprobs)
    _refuse("logit_bias", request.logit_bias)


def _refuse_completion(request: CompletionRequest) -> None:
    _refuse("echo", request.echo)
    _refuse("suffix", request.suffix)
    _refuse("logprobs", request.logprobs is not None)
    _refuse("best_of", request.best_of not in (None, 1))


def _one_prompt(request: CompletionRequest) -> str | tuple[int, ...]:
    prompts = _prompts(request.prompt)
    if len(prompts) > 1:
        raise BadRequest("this model takes one prompt a request", "prompt")
    if not prompts or not prompts[0]:
        raise BadRequest("the prompt is empty", "prompt")
    return prompts[0]


def _prompts(given: str | list[int] | list[str] | list[list[int]]) -> list[str | tuple[int, ...]]:
    """Text, token ids, or a list of either, always as a list; ids are a tuple."""
    if isinstance(given, str):
        return [given]
    ids = tuple(item for item in given if isinstance(item, int))
    if ids:
        return [ids]
    return [item if isinstance(item, str) else tuple(item) for item in given if not isinstance(item, int)]


def _sampling(request: ChatCompletionRequest | CompletionRequest) -> SamplingParams:
    if request.n not in (None, 1):
        raise BadRequest("n is 1 on this model", "n")
    max_tokens = request.max_tokens
    if isinstance(request, ChatCompletionRequest) and request.max_completion_tokens is not None:
        max_tokens = request.max_completion_tokens
    return SamplingParams(
        max_tokens=max_tokens,
        temperature=1.0 if request.temperature is None else request.temperature,
        top_p=1.0 if request.top_p is None else request.top_p,
        top_k=request.top_k,
        min_p=request.min_p,
        frequency_penalty=request.frequency_penalty or 0.0,
        presence_penalty=request.presence_penalty or 0.0,
        seed=request.seed,
        stop=request.stop_strings(),
        ignore_eos=request.ignore_eos,
    )


def _shape(request: ChatCompletionRequest | CompletionRequest, context: RequestContext) -> TextShape:
    is_chat = isinstance(request, ChatCompletionRequest)
    prefix = "chatcmpl" if is_chat else "cmpl"
    return TextShape(f"{prefix}-{context.request_id}", request.model, int(time.time()), is_chat=is_chat)


def _usage(chunk: TextChunk) -> JsonObject:
    return usage(chunk.num_prompt_tokens, chunk.num_completion_tokens, chunk.num_cached_tokens)
