"""Guards, requests that pass them, and a model behind that writes what it is told to."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

from configs.schema import GuardPolicies, GuardsConfig, InputPolicies
from serve_app.front.base import Ask
from serve_app.guards.policy import Policies
from serve_app.guards.step import Guards
from serve_app.messages import Deadline, RequestContext

GUARD = "x-manta-guard"
CARD = "4111 1111 1111 1111"
DONE = "data: [DONE]\n\n"


def ask(*texts: str, tenant: str = "t", is_stream: bool = False, **body: Any) -> Ask:
    messages = [{"role": "user", "content": text} for text in texts]
    context = RequestContext("r", tenant, Deadline.after(600))
    whole = {"model": "m", "messages": messages} | body
    return Ask("m", "chat/completions", whole, context, is_stream, {})


class Model:
    """Answers with these pieces, as a stream or as a whole."""

    def __init__(self, *pieces: str, **choice: Any) -> None:
        self.pieces = pieces
        self.choice = choice
        self.bodies: list[dict[str, Any]] = []
        self.is_closed = False

    async def source(self, asked: Ask) -> AsyncGenerator[bytes]:
        self.bodies.append(asked.body)
        try:
            if not asked.is_stream:
                message = {"role": "assistant", "content": "".join(self.pieces)}
                choice = {"index": 0, "message": message, "finish_reason": "stop"} | self.choice
                yield json.dumps({"id": "1", "choices": [choice]}).encode()
                return
            yield self.chunk({"role": "assistant", "content": ""})
            for piece in self.pieces:
                yield self.chunk({"content": piece})
            yield self.chunk({}, finish_reason="stop") + self.event(
                {"choices": [], "usage": {"total_tokens": 3}}
            )
            yield DONE.encode()
        finally:
            self.is_closed = True

    def chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason} | self.choice
        return self.event({"id": "1", "choices": [choice]})

    def event(self, document: dict[str, Any]) -> bytes:
        return b"data: " + json.dumps(document).encode() + b"\n\n"


def guards(count: Any = None, **config: Any) -> Guards:
    made = GuardsConfig(**config)
    return Guards(Policies(made), made.injection_at, ("manta",), *([count] if count else []))


def incoming(**policies: Any) -> Guards:
    return guards(input=InputPolicies(**policies), topics={"weapons": ("build a bomb",)})


def outgoing(**policies: Any) -> Guards:
    return guards(output=GuardPolicies(**policies), topics={"weapons": ("build a bomb",)})


async def read(one: Guards, asked: Ask, model: Model) -> str:
    return b"".join([frame async for frame in one.frames(asked, model.source)]).decode()


def said(stream: str) -> tuple[str, str | None]:
    """The text of a stream, and how it ended."""
    assert stream.endswith(DONE)
    text, reason = "", None
    for line in stream.removesuffix(DONE).split("\n\n"):
        for choice in json.loads(line[6:])["choices"] if line else ():
            text += choice["delta"].get("content") or ""
            reason = choice["finish_reason"] or reason
    return text, reason
