"""Models that answer as they are told, behind a group."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from serve_app.front.base import Ask, Source
from serve_app.messages import Deadline, RequestContext


class Models:
    """What each model says: frames, an error in their place, or a number of seconds to be silent for."""

    def __init__(self, **scripts: list[bytes | Exception | float]) -> None:
        self.scripts = scripts
        self.asked: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        self.num_running = 0

    async def source(self, ask: Ask) -> AsyncGenerator[bytes]:
        self.asked.append(ask.name)
        self.bodies.append(ask.body)
        self.num_running += 1
        try:
            for item in self.scripts[ask.name]:
                if isinstance(item, Exception):
                    raise item
                if isinstance(item, bytes):
                    yield item
                else:
                    await asyncio.sleep(item)
        finally:
            self.num_running -= 1


def _make_ask(body: dict[str, Any] | None = None, *, left_s: float = 600.0, **more: Any) -> Ask:
    headers = {name.replace("_", "-"): value for name, value in more.pop("headers", {}).items()}
    body = {"model": "chat", "messages": [{"role": "user", "content": "hello"}]} | (body or {})
    context = RequestContext("r", more.pop("tenant", "t"), Deadline.after(left_s))
    ask = Ask("chat", "chat/completions", body, context, more.pop("is_stream", True), headers)
    assert not more
    return ask


@pytest.fixture
def make_ask() -> Callable[..., Ask]:
    return _make_ask


@pytest.fixture
def models() -> type[Models]:
    return Models


async def _read(frames: AsyncGenerator[bytes]) -> list[bytes]:
    return [frame async for frame in frames]


@pytest.fixture
def read() -> Callable[..., Any]:
    return _read


def _chunk(text: str, *logprobs: float, **more: Any) -> bytes:
    told = {"content": [{"token": "x", "logprob": one} for one in logprobs]} if logprobs else None
    choice = {"index": 0, "delta": {"content": text}, "logprobs": told, "finish_reason": None}
    return b"data: " + json.dumps({"choices": [choice], **more}).encode() + b"\n\n"


@pytest.fixture
def chunk() -> Callable[..., bytes]:
    """A stream's event with a text, and the log-probabilities of its tokens."""
    return _chunk


__all__ = ["Models", "Source"]
