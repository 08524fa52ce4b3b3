"""The agent behind /v1/chat/completions: any OpenAI client asks it by writing its name into `model`.

What a chat completion has no place for stands under `manta`: citations, flags, the run's states.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from serve_app.agent.base import AgentClient
from serve_app.errors import BadRequest, EngineFailed
from serve_app.front.base import Ask, Source
from serve_app.ingress.agents.events import FINAL, conversation, events_of, final_of
from serve_app.ingress.requests.call import Call
from serve_app.ingress.services import Services
from serve_app.messages import AgentQuestion, JsonObject, RequestContext
from serve_app.openai_api.requests import ChatCompletionRequest, parse_chat
from serve_app.openai_api.responses import DONE, TextShape
from serve_app.streams import close

# Of the final event; the last three are not always there.
_SHOWN = ("outcome", "citations", "flags", "notes", "run", "trace_id", "run_id", "approval")


def chat_source(services: Services, agent: AgentClient, read: ChatCompletionRequest, call: Call) -> Source:
    """The agent's answer as a chat completion, or as its chunks.

    Args:
        read: what the call's body says.
    """

    async def frames(ask: Ask) -> AsyncGenerator[bytes]:
        wanted = read if ask.body is call.body else parse_chat(ask.body)
        question, context = replace(_question(wanted), user_id=call.user_id), ask.context
        shape = TextShape(f"chatcmpl-{context.request_id}", wanted.model, int(time.time()), is_chat=True)
        if not ask.is_stream:
            final = await services.waking(wanted.model, final_of(agent, question, context))
            yield shape.document(final["text"], "stop", final["usage"], manta=_manta(final))
            return
        has_usage = wanted.stream_options is not None and wanted.stream_options.include_usage
        answer = _frames(agent, question, context, shape, has_usage=has_usage)
        stream = services.waking_stream(wanted.model, answer)
        try:
            async for frame in stream:
                yield frame
        finally:
            await close(stream)

    return frames


async def _frames(
    agent: AgentClient, question: AgentQuestion, context: RequestContext, shape: TextShape, *, has_usage: bool
) -> AsyncGenerator[bytes]:
    opening, streamed = shape.opening(), ""
    async with aclosing(events_of(agent, question, context)) as events:
        async for event in events:
            if opening:  # with the run's first event, so that the client sees that somebody works
                yield opening
                opening = b""
            if event.type == "answer.delta":
                streamed += event.data["text"]
                yield shape.delta(event.data["text"])
            elif event.type == FINAL:
                yield _rest(shape, event.data, streamed) + _end(shape, event.data, has_usage=has_usage)


def _rest(shape: TextShape, final: JsonObject, streamed: str) -> bytes:
    """What of the answer was not sent as it came."""
    text: str = final["text"]
    if not text.startswith(streamed):
        raise EngineFailed("the agent's answer is not the text that it streamed")
    return shape.delta(text[len(streamed) :]) if len(text) > len(streamed) else b""


def _end(shape: TextShape, final: JsonObject, *, has_usage: bool) -> bytes:
    counts = shape.counts(final["usage"]) if has_usage else b""
    return shape.finish("stop", manta=_manta(final)) + counts + DONE


def _manta(final: JsonObject) -> JsonObject:
    return {key: final[key] for key in _SHOWN if key in final}


def _question(wanted: ChatCompletionRequest) -> AgentQuestion:
    """The question. What an agent cannot do is refused by name; `seed` is best effort, as OpenAI says."""
    refused = {
        "tools": wanted.tools and wanted.tool_choice != "none",
        "response_format": wanted.response_format and wanted.response_format.get("type") != "text",
        "logprobs": wanted.logprobs,
        "logit_bias": wanted.logit_bias,
        "n": wanted.n not in (None, 1),
        "stop": wanted.stop_strings(),
        "top_p": wanted.top_p not in (None, 1.0),
        "top_k": wanted.top_k,
        "min_p": wanted.min_p,
        "frequency_penalty": wanted.frequency_penalty,
        "presence_penalty": wanted.presence_penalty,
    }
    for name, is_asked in refused.items():
        if is_asked:
            raise BadRequest(f"{name} is not served by an agent", name)
    question, history = conversation(wanted.messages)
    max_tokens = wanted.max_completion_tokens or wanted.max_tokens
    return AgentQuestion(question, history, max_tokens=max_tokens, temperature=wanted.temperature)
