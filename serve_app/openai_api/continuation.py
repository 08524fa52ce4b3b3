"""An answer that was cut, continued by another replica, with no token twice and none missing.

The second replica makes the whole answer again; what of it the client has is left out. That is right
only if both make the same text, so requests must be greedy or seeded, and the text is compared: where it
differs the client is told. Works on server-sent events of any OpenAI-compatible engine, and costs nothing
until a stream is cut, for before that frames are only kept.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from serve_app.errors import StreamLost
from serve_app.messages import JsonObject
from serve_app.openai_api.responses import DONE, event
from serve_app.openai_api.sse import SseReader

# What a client may have got and still be continued: more than any model's context of text.
MAX_KEPT_BYTES = 16 << 20

# Of a choice's delta; anything else that is set (tool calls, reasoning, refusals) is not compared.
_COMPARED = {"role", "content", "refusal"}


def is_repeatable(body: JsonObject) -> bool:
    """Whether the request makes the same text each time, as text alone."""
    is_fixed = body.get("temperature") == 0 or isinstance(body.get("seed"), int)
    has_tools = bool(body.get("tools")) and body.get("tool_choice") != "none"
    logprobs = body.get("logprobs")  # 0 asks for those of the chosen tokens
    has_logprobs = logprobs is not None and logprobs is not False
    is_more_than_text = has_tools or bool(body.get("functions")) or has_logprobs
    return is_fixed and body.get("n") in (None, 1) and not is_more_than_text


class SentAnswer:
    """What a client has got of one streamed answer."""

    def __init__(self) -> None:
        self._frames: list[bytes] = []
        self._num_bytes = 0

    def __bool__(self) -> bool:
        return bool(self._frames)

    def keep(self, frame: bytes) -> None:
        self._num_bytes += len(frame)
        if self._num_bytes <= MAX_KEPT_BYTES:
            self._frames.append(frame)

    async def rest_of(self, repeated: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
        """Of the answer made again, the events that the client does not have, under the first one's id.

        Raises:
            StreamLost: it cannot be continued; the reason is in the message.
            Exception: what `repeated` raises.
        """
        skip = _Skip(self._events())
        reader = SseReader()
        async for frame in repeated:
            rest = [skip.missing(data) for data in reader.feed(frame)]
            if any(rest):
                yield b"".join(rest)

    def _events(self) -> list[str]:
        if self._num_bytes > MAX_KEPT_BYTES:
            raise StreamLost("the answer was cut, and is too long to be continued")
        reader = SseReader()
        return [data for frame in self._frames for data in reader.feed(frame)]


class _Skip:
    """Compares the repeated answer with what was sent, and lets through what is new."""

    def __init__(self, sent: list[str]) -> None:
        documents = [json.loads(data) for data in sent if data != "[DONE]"]
        self._is_done = "[DONE]" in sent
        self._first: JsonObject = documents[0] if documents else {}
        self._sent = "".join(_text(document) for document in documents)
        self._has_finish = any(_finish(document) is not None for document in documents)
        self._has_usage = any(_is_usage(document) for document in documents)
        self._at = 0  # how much of the sent text was seen again

    def missing(self, data: str) -> bytes:
        """What the client does not have of this event; nothing if it has it all."""
        if data == "[DONE]":
            self._require_same(self._at == len(self._sent))
            return b"" if self._is_done else DONE
        document = json.loads(data)
        if _is_usage(document):
            return b"" if self._has_usage else self._event(document)
        text = _text(document)
        repeated = text[: len(self._sent) - self._at]
        self._require_same(self._sent.startswith(repeated, self._at))
        self._at += len(repeated)
        return self._new(document, text[len(repeated) :])

    def _new(self, document: JsonObject, text: str) -> bytes:
        """The event with only that text; nothing if it says nothing more."""
        if _finish(document) is not None:
            self._require_same(self._at == len(self._sent))
            if self._has_finish:
                return b""
        elif not text and self._first:
            return b""  # the opening, or text that the client has
        if text != _text(document):
            _put_text(document, text)
        return self._event(document)

    def _event(self, document: JsonObject) -> bytes:
        return event(document | {key: self._first[key] for key in ("id", "created") if key in self._first})

    def _require_same(self, is_same: bool) -> None:  # noqa: FBT001 (its only argument)
        if not is_same:
            raise StreamLost(
                "the answer was cut, and another replica answers differently: it cannot be continued"
            )


def _choice(document: JsonObject) -> dict[str, Any]:
    choices = document.get("choices") or [{}]
    choice: dict[str, Any] = choices[0]
    return choice


def _text(document: JsonObject) -> str:
    """The text of a chunk.

    Raises:
        StreamLost: it is more than text, or an error.
    """
    choice = _choice(document)
    delta = choice.get("delta") or {}
    if document.get("error") or any(value for key, value in delta.items() if key not in _COMPARED):
        raise StreamLost("the answer was cut, and is more than text: it cannot be continued")
    return delta.get("content") or choice.get("text") or ""


def _put_text(document: JsonObject, text: str) -> None:
    choice = _choice(document)
    if "delta" in choice:
        choice["delta"]["content"] = text
    else:
        choice["text"] = text


def _finish(document: JsonObject) -> str | None:
    return _choice(document).get("finish_reason")


def _is_usage(document: JsonObject) -> bool:
    return bool(document.get("usage")) and not document.get("choices")
