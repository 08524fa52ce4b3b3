"""A Strands Model over a served chat model: no network hop, and errors, deadlines and cancellation as everywhere else.

Strands is a library that only replicas of agents load; nothing else imports this module at its top.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from strands.models import Model
from strands.types.content import Messages
from strands.types.streaming import StreamEvent
from strands.types.tools import ToolSpec as StrandsSpec

from serve_app.agents.arguments import parsed
from serve_app.agents.base import ToolSpec
from serve_app.agents.run import AgentRun, Flag, RunOver
from serve_app.agents.turn import ANSWER_NOW, CallPieces, WantedCall, openai_messages, openai_tools
from serve_app.engines.base import ModelClient
from serve_app.errors import BadRequest, EngineFailed, InputTooLong
from serve_app.messages import Endpoint, JsonObject
from serve_app.openai_api.responses import encode
from serve_app.openai_api.sse import TextDelta, text_deltas
from serve_app.streams import until_deadline


class HandleModel(Model):
    """Made for one run, which bounds it; the client is shared.

    The run hears the text as it comes. Strands gets the whole step, and of each call arguments that are JSON:
    those that are not are in `faults`, by the call's id.
    """

    def __init__(self, client: ModelClient, run: AgentRun, tools: Sequence[ToolSpec]) -> None:
        self._client = client
        self._run = run
        self._tools = openai_tools(tools)
        self._num_answer_chars = 0
        self.config: JsonObject = {"model_id": run.config.model}
        self.faults: dict[str, BadRequest] = {}

    def update_config(self, **model_config: Any) -> None:
        self.config.update(model_config)

    def get_config(self) -> JsonObject:
        return self.config

    def structured_output(self, *_: Any, **__: Any) -> AsyncGenerator[dict[str, Any], None]:
        raise NotImplementedError("declared agents answer with text")

    async def stream(
        self,
        messages: Messages,
        tool_specs: list[StrandsSpec] | None = None,
        system_prompt: str | None = None,
        **_: Any,
    ) -> AsyncGenerator[StreamEvent, None]:
        """One step; an empty one if a limit leaves none. Raises as ModelClient.stream."""
        yield {"messageStart": {"role": "assistant"}}
        try:
            body = self._body(messages, system_prompt or "")
        except RunOver as over:
            self._run.flag(over.flag)
            yield {"messageStop": {"stopReason": "end_turn"}}
            return
        may_call = body.get("tool_choice") == "auto"
        self._run.context.deadline.check("step")
        began_s = self._run.clock()
        pieces = CallPieces()
        end = TextDelta()
        self._num_answer_chars = 0
        yield {"contentBlockStart": {"start": {}}}
        try:
            async with aclosing(self._deltas(body)) as deltas:
                async for delta in deltas:
                    end = TextDelta("", delta.finish_reason or end.finish_reason, delta.usage or end.usage)
                    for piece in delta.tool_calls if may_call else ():
                        pieces.add(piece)
                    if delta.text:
                        self._num_answer_chars += len(delta.text)
                        self._run.say(delta.text)
                        yield {"contentBlockDelta": {"delta": {"text": delta.text}}}
        finally:
            took_s = self._run.clock() - began_s
            self._run.state.trace.append({"state": "model", "ms": round(took_s * 1000, 3)})
            self._run.count(end.usage, len(encode(body)) + self._num_answer_chars)
        yield {"contentBlockStop": {}}
        calls = pieces.calls(_ids(messages))
        for call in calls:
            for event in self._told(call):
                yield event
        if end.finish_reason == "length":
            self._run.flag(Flag.CUT)
        yield {"messageStop": {"stopReason": "tool_use" if calls else "end_turn"}}

    def _body(self, messages: Messages, system: str) -> JsonObject:
        shaped, tools = openai_messages(system, messages), self._tools
        step = self._run.begin_step(len(encode(shaped)) + len(encode(tools)), has_tools=bool(tools))
        if not step.may_call_tools and shaped[-1]["role"] == "tool":
            shaped.append({"role": "user", "content": ANSWER_NOW})
        question, config = self._run.question, self._run.config
        body: JsonObject = {
            "model": config.model,
            "messages": shaped,
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": step.max_tokens,
            "temperature": config.temperature if question.temperature is None else question.temperature,
        }
        if tools:
            body |= {"tools": tools, "tool_choice": "auto" if step.may_call_tools else "none"}
        return body

    async def _deltas(self, body: JsonObject) -> AsyncGenerator[TextDelta]:
        """What the model says. A request that it refuses is ours, and no fault of the client's."""
        context, name = self._run.context, self._run.config.model
        frames = until_deadline(self._client.stream(Endpoint.CHAT, body, context), context.deadline, "step")
        try:
            async with aclosing(frames), aclosing(text_deltas(frames)) as deltas:
                async for delta in deltas:
                    yield delta
        except InputTooLong:
            if self._run.state.num_steps == 1:
                raise  # it was the question that was too long
            self._run.flag(Flag.TOKEN_LIMIT)
            raise EngineFailed(f"what the tools gave is longer than {name} can read") from None
        except BadRequest as exc:
            raise EngineFailed(f"{name} refused a step of {self._run.config.name}: {exc.message}") from exc

    def _told(self, call: WantedCall) -> tuple[StreamEvent, ...]:
        """A call as Strands wants it told."""
        arguments = call.arguments
        try:
            parsed(arguments)
        except BadRequest as exc:
            self.faults[call.id], arguments = exc, "{}"
        return (
            {"contentBlockStart": {"start": {"toolUse": {"name": call.name, "toolUseId": call.id}}}},
            {"contentBlockDelta": {"delta": {"toolUse": {"input": arguments}}}},
            {"contentBlockStop": {}},
        )


def _ids(messages: Messages) -> list[str]:
    """Of the calls made so far."""
    return [
        block["toolUse"]["toolUseId"]
        for message in messages
        for block in message["content"]
        if "toolUse" in block
    ]
