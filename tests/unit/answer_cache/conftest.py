"""A model that counts how often it is asked, and answers that are whole."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from serve_app.front.base import Ask
from serve_app.messages import Deadline, RequestContext


def _document(text: str) -> bytes:
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return json.dumps({"choices": [choice]}).encode()


def _events(*texts: str) -> list[bytes]:
    frames = [b'data: {"choices":[{"delta":{"content":"%s"}}]}\n\n' % text.encode() for text in texts]
    return [*frames, b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n', b"data: [DONE]\n\n"]


class Model:
    """Says its tenant and its number of the answer; waits for `go` before each frame, once `go` is cleared."""

    def __init__(self) -> None:
        self.asked: list[Ask] = []
        self.num_running = 0
        self.go = asyncio.Event()
        self.go.set()
        self.frames: list[bytes | Exception] | None = None

    async def source(self, ask: Ask) -> AsyncGenerator[bytes]:
        self.asked.append(ask)
        self.num_running += 1
        ask.told["x-manta-model"] = ask.served.model = "member"
        said = f"{ask.context.tenant} {len(self.asked)}"
        frames = self.frames or (_events("a", said) if ask.is_stream else [_document(said)])
        try:
            for frame in frames:
                await self.go.wait()
                if isinstance(frame, Exception):
                    raise frame
                yield frame
        finally:
            self.num_running -= 1


@pytest.fixture
def model() -> Model:
    return Model()


def _make_ask(text: str = "What is a manta ray?", **more: Any) -> Ask:
    tenant, left_s = more.pop("tenant", "t"), more.pop("left_s", 600.0)
    is_stream, name = more.pop("is_stream", False), more.pop("name", "mock")
    headers = {one.replace("_", "-"): value for one, value in more.pop("headers", {}).items()}
    body = {"model": name, "messages": [{"role": "user", "content": text}], "temperature": 0} | more
    if is_stream:
        body["stream"] = True
    context = RequestContext("r", tenant, Deadline.after(left_s))
    return Ask(name, "chat/completions", body, context, is_stream, headers)


@pytest.fixture
def make_ask() -> Callable[..., Ask]:
    return _make_ask


@pytest.fixture
def events() -> Callable[..., list[bytes]]:
    return _events


@pytest.fixture
def document() -> Callable[..., bytes]:
    return _document
