"""OpenAI's text endpoints over a TextGenerator: what it generates, in the shape that was asked for.

Knows nothing of how text is made; `text_requests` knows what may be asked.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing

from serve_app.engines.base import GenerationRequest, TextChunk, TextGenerator
from serve_app.engines.text_requests import TextRequest, read_request
from serve_app.errors import EngineFailed
from serve_app.messages import Endpoint, JsonObject, ModelCard, RequestContext
from serve_app.openai_api.parts import (
    TokenLogprob,
    ToolCall,
    chat_logprobs,
    completion_logprobs,
    tool_call_deltas,
    tool_calls,
)
from serve_app.openai_api.requests import ChatCompletionRequest
from serve_app.openai_api.responses import DONE, TextShape, usage
from serve_app.streams import until_deadline
from serve_app.telemetry.metrics import LLM_TOKENS, Count, count_nothing


class TextEdge:
    """A ModelEngine made of a TextGenerator. `count` adds to the application's counters."""

    def __init__(self, generator: TextGenerator, count: Count = count_nothing) -> None:
        self._generator = generator
        self._count = count
        card = generator.card()
        self._name, self._abilities = card.name, card.abilities

    def card(self) -> ModelCard:
        return self._generator.card()

    async def respond(self, endpoint: Endpoint, body: JsonObject, context: RequestContext) -> bytes:
        request, generation = self._read(endpoint, body)
        pieces: list[str] = []
        parts = _Parts(request)
        async with aclosing(self._chunks(generation, context)) as chunks:
            async for chunk in chunks:
                pieces.append(chunk.text)
                parts.add(chunk)
                if chunk.finish_reason:
                    self._count_tokens(chunk)
                    text = "".join(pieces)
                    return _shape(request, context).document(
                        None if parts.tool_calls and not text else text,
                        chunk.finish_reason,
                        _usage(chunk),
                        message=parts.message(),
                        logprobs=parts.shaped_logprobs(parts.logprobs) if parts.has_logprobs else None,
                    )
        raise EngineFailed(f"{self.card().name} ended without a finish reason")

    async def stream(
        self, endpoint: Endpoint, body: JsonObject, context: RequestContext
    ) -> AsyncIterator[bytes]:
        request, generation = self._read(endpoint, body)
        shape = _shape(request, context)
        parts = _Parts(request)
        opening = shape.opening()  # leaves with the first text, so that an early error can still be a status
        async with aclosing(self._chunks(generation, context)) as chunks:
            async for chunk in chunks:
                if chunk.reasoning or chunk.tool_calls or chunk.logprobs:
                    yield opening + parts.event(shape, chunk)
                    opening = b""
                elif chunk.text:
                    yield opening + shape.delta(chunk.text)
                    opening = b""
                if chunk.finish_reason:
                    self._count_tokens(chunk)
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

    def _count_tokens(self, last: TextChunk) -> None:
        self._count(LLM_TOKENS, last.num_prompt_tokens, name=self._name, kind="prompt")
        self._count(LLM_TOKENS, last.num_completion_tokens, name=self._name, kind="completion")

    def _read(self, endpoint: Endpoint, body: JsonObject) -> tuple[TextRequest, GenerationRequest]:
        return read_request(endpoint, body, self._abilities)

    def _chunks(self, generation: GenerationRequest, context: RequestContext) -> AsyncGenerator[TextChunk]:
        context.deadline.check("engine queue")
        return until_deadline(self._generator.generate(generation, context), context.deadline, "generate")


class _Parts:
    """What one answer has besides its text."""

    def __init__(self, request: TextRequest) -> None:
        self._is_chat = isinstance(request, ChatCompletionRequest)
        self.has_logprobs = request.logprobs is not None and request.logprobs is not False
        self._reasoning: list[str] = []
        self.tool_calls: list[ToolCall] = []
        self.logprobs: list[TokenLogprob] = []

    def add(self, chunk: TextChunk) -> None:
        self._reasoning.append(chunk.reasoning)
        self.tool_calls += chunk.tool_calls
        self.logprobs += chunk.logprobs

    def message(self) -> JsonObject:
        message: JsonObject = {}
        if any(self._reasoning):
            message["reasoning_content"] = "".join(self._reasoning)
        if self.tool_calls:
            message["tool_calls"] = tool_calls(self.tool_calls)
        return message

    def event(self, shape: TextShape, chunk: TextChunk) -> bytes:
        """A chunk that is more than text, as events."""
        more: JsonObject = {}
        if chunk.reasoning:
            more["reasoning_content"] = chunk.reasoning
        if chunk.tool_calls:
            more["tool_calls"] = tool_call_deltas(chunk.tool_calls, len(self.tool_calls))
            self.tool_calls += chunk.tool_calls
        return shape.part(chunk.text, more, self.shaped_logprobs(chunk.logprobs) if chunk.logprobs else None)

    def shaped_logprobs(self, tokens: Sequence[TokenLogprob]) -> JsonObject:
        return chat_logprobs(tokens) if self._is_chat else completion_logprobs(tokens)


def _shape(request: TextRequest, context: RequestContext) -> TextShape:
    is_chat = isinstance(request, ChatCompletionRequest)
    prefix = "chatcmpl" if is_chat else "cmpl"
    return TextShape(f"{prefix}-{context.request_id}", request.model, int(time.time()), is_chat=is_chat)


def _usage(chunk: TextChunk) -> JsonObject:
    return usage(chunk.num_prompt_tokens, chunk.num_completion_tokens, chunk.num_cached_tokens)
