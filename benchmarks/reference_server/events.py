"""The bytes of answers: server-sent events rendered once for each model, and bodies in one piece.

Every token is a word of five letters after a space, so the text of n tokens has n words, and every event
of a stream has the same length.
"""

from __future__ import annotations

import base64
import functools
import time
from array import array
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from benchmarks.reference_server.asked import Asked
from benchmarks.reference_server.http_messages import chunk

WORDS = (
    *(" amber", " birch", " cedar", " delta", " ember", " fjord", " grove", " haven"),
    *(" inlet", " jetty", " kayak", " lemon", " maple", " north", " ocean", " prism"),
)
DONE = b"data: [DONE]\n\n"

FinishReason = Literal["length", "stop"]


@dataclass(frozen=True, slots=True)
class _Rendered:
    """Events of one model, without what differs between answers: each from behind the id to its end."""

    role: bytes
    words: tuple[bytes, ...]
    framed_words: tuple[bytes, ...]  # likewise, to the end of the HTTP chunk
    finish: dict[FinishReason, bytes]


@functools.lru_cache(maxsize=256)
def _rendered(is_chat: bool, model: str) -> _Rendered:  # noqa: FBT001 (a key of the cache)
    def choice(text: str | None, reason: str | None = None, **more: str) -> bytes:
        content: dict[str, Any] = {} if text is None else {"content": text}
        what: dict[str, Any] = {"delta": more | content} if is_chat else {"text": text or ""}
        return _rest(model, choices=[{"index": 0, **what, "logprobs": None, "finish_reason": reason}])

    words = tuple(choice(word) for word in WORDS)
    return _Rendered(
        role=choice("", role="assistant"),
        words=words,
        framed_words=tuple(word + b"\r\n" for word in words),
        finish={"length": choice(None, "length"), "stop": choice(None, "stop")},
    )


def _rest(model: str, **fields: object) -> bytes:
    """An event from behind `created` on."""
    return b"," + msgspec.json.encode({"model": model, **fields})[1:] + b"\n\n"


class Events:
    """The events of one answer; each ends with an empty line."""

    __slots__ = ("_asked", "_opening", "_rendered", "framed_opening", "framed_words")

    def __init__(self, asked: Asked, number: int) -> None:
        self._asked = asked
        self._rendered = _rendered(asked.is_chat, asked.model)
        id_and_object = (
            b'chatcmpl-%016x","object":"chat.completion.chunk"'
            if asked.is_chat
            else b'cmpl-%016x","object":"text_completion"'
        )
        self._opening = b'data: {"id":"' + id_and_object % number + b',"created":%d' % time.time()
        # A token's chunk is `framed_opening + framed_words[k % 16]`: one joining of bytes a token.
        self.framed_words = self._rendered.framed_words
        self.framed_opening = b"%x\r\n" % (len(self._opening) + len(self._rendered.words[0])) + self._opening

    def role(self) -> bytes:
        return self._opening + self._rendered.role

    def token(self, index: int) -> bytes:
        return self._opening + self._rendered.words[index % len(WORDS)]

    def text(self, text: str) -> bytes:
        """An event with another text than a token's."""
        what: dict[str, Any] = {"delta": {"content": text}} if self._asked.is_chat else {"text": text}
        choice = {"index": 0, **what, "logprobs": None, "finish_reason": None}
        return self._opening + _rest(self._asked.model, choices=[choice])

    def finish(self) -> bytes:
        return self._opening + self._rendered.finish["stop" if self._asked.max_tokens is None else "length"]

    def usage(self, num_tokens: int) -> bytes:
        """The event with the usage, for a client that asked for it; nothing for others."""
        if not self._asked.wants_usage:
            return b""
        counted = usage(self._asked.num_prompt_tokens, num_tokens)
        return self._opening + _rest(self._asked.model, choices=[], usage=counted)

    def ending(self, num_tokens: int) -> bytes:
        """The chunks between the last token and [DONE]."""
        counted = self.usage(num_tokens)
        return chunk(self.finish()) + (chunk(counted) if counted else b"")


def usage(num_prompt_tokens: int, num_tokens: int) -> dict[str, int]:
    return {
        "prompt_tokens": num_prompt_tokens,
        "completion_tokens": num_tokens,
        "total_tokens": num_prompt_tokens + num_tokens,
    }


def generated_body(asked: Asked, number: int, num_tokens: int) -> bytes:
    """The answer to a chat or a completion that is not streamed."""
    text = "".join(WORDS[index % len(WORDS)] for index in range(num_tokens))
    what: dict[str, Any] = (
        {"message": {"role": "assistant", "content": text}} if asked.is_chat else {"text": text}
    )
    reason = "stop" if asked.max_tokens is None else "length"
    document = {
        "id": f"{'chatcmpl' if asked.is_chat else 'cmpl'}-{number:016x}",
        "object": "chat.completion" if asked.is_chat else "text_completion",
        "created": int(time.time()),
        "model": asked.model,
        "choices": [{"index": 0, **what, "logprobs": None, "finish_reason": reason}],
        "usage": usage(asked.num_prompt_tokens, num_tokens),
    }
    return msgspec.json.encode(document)


def embedding_body(asked: Asked, num_dimensions: int) -> bytes:
    """The same vector of length 1 for every input."""
    vector = array("f", [num_dimensions**-0.5] * num_dimensions)
    embedding = base64.b64encode(vector).decode() if asked.wants_base64 else list(vector)
    data = [
        {"object": "embedding", "index": index, "embedding": embedding} for index in range(asked.num_inputs)
    ]
    counted = {"prompt_tokens": asked.num_prompt_tokens, "total_tokens": asked.num_prompt_tokens}
    return msgspec.json.encode({"object": "list", "data": data, "model": asked.model, "usage": counted})
