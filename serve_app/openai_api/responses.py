"""Response shapes of OpenAI's API: documents, stream chunks, server-sent events, error bodies.

Everything here returns bytes that are ready for the socket: they are made once, at the engine, and
passed on untouched.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from serve_app.errors import BadRequest, DeadlineExceeded, MantaError
from serve_app.messages import JsonObject, Vectors

DONE = b"data: [DONE]\n\n"

_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def encode(document: object) -> bytes:
    """Compact UTF-8 JSON; NaN and infinities are no JSON and raise ValueError."""
    return _to_json(document).encode()


def event(document: object, name: str | None = None) -> bytes:
    """One server-sent event; OpenAI's own streams have no event names."""
    head = f"event: {name}\n".encode() if name else b""
    return head + b"data: " + encode(document) + b"\n\n"


def error_body(error: MantaError) -> JsonObject:
    """OpenAI's error document."""
    code = error.code
    body: dict[str, Any] = {
        "message": error.message,
        "type": error.type,
        "param": error.param if isinstance(error, BadRequest) else None,
        "code": code,
    }
    if isinstance(error, DeadlineExceeded) and error.stage:
        body["stage"] = error.stage
    return {"error": body}


def usage(num_prompt: int, num_completion: int, num_cached: int = 0) -> JsonObject:
    """Token counts of one request."""
    return {
        "prompt_tokens": num_prompt,
        "completion_tokens": num_completion,
        "total_tokens": num_prompt + num_completion,
        "prompt_tokens_details": {"cached_tokens": num_cached},
    }


def embedding_document(
    model: str, vectors: Vectors, num_tokens: int, *, as_base64: bool, num_truncated: int = 0
) -> bytes:
    """The document of /v1/embeddings.

    Args:
        model: the name that the client asked for.
        vectors: (n, dim) float32.
        num_tokens: of all texts.
        as_base64: little-endian float32 in base64 (what the official client asks for) instead of numbers.
        num_truncated: texts that were cut; reported under usage, where clients ignore what they do not know.
    """
    rows: Sequence[str | list[float]]
    if as_base64:
        rows = [base64.b64encode(row.tobytes()).decode() for row in vectors.astype("<f4", copy=False)]
    else:
        rows = vectors.astype(np.float64).tolist()
    counts: JsonObject = {"prompt_tokens": num_tokens, "total_tokens": num_tokens}
    if num_truncated:
        counts["truncated_inputs"] = num_truncated
    data = [{"object": "embedding", "index": index, "embedding": row} for index, row in enumerate(rows)]
    return encode({"object": "list", "data": data, "model": model, "usage": counts})


class TextShape:
    """The two text endpoints answer alike but for where the text stands; this is the difference.

    One instance belongs to one request: it knows the response's id and time.
    """

    def __init__(self, response_id: str, model: str, created: int, *, is_chat: bool) -> None:
        self._id = response_id
        self._model = model
        self._created = created
        self._is_chat = is_chat
        # A piece of text is an event of which only the text changes, and there is one for every token.
        empty: JsonObject = {"delta": {"content": ""}} if is_chat else {"text": ""}
        template = event(self._envelope(self._chunk_kind, [self._choice(**empty)]))
        key = b'"content":' if is_chat else b'"text":'
        before, _, after = template.rpartition(key + b'""')
        self._before_text, self._after_text = before + key, after

    def document(
        self,
        text: str | None,
        finish_reason: str,
        counts: JsonObject,
        *,
        message: JsonObject | None = None,
        logprobs: JsonObject | None = None,
        **extra: Any,
    ) -> bytes:
        """The whole answer.

        Args:
            text: None only in chat, where an answer can be nothing but calls.
            finish_reason: why it ended.
            counts: its usage.
            message: what else stands in a chat's message: reasoning, tool calls.
            logprobs: of its tokens, if they were asked for.
            extra: fields that stand beside OpenAI's, as below.
        """
        if self._is_chat:
            role = {"role": "assistant", "content": text, "refusal": None}
            choice: JsonObject = {"message": role | (message or {})}
        else:
            choice = {"text": text}
        choice = {"index": 0, **choice, "logprobs": logprobs, "finish_reason": finish_reason}
        kind = "chat.completion" if self._is_chat else "text_completion"
        return encode(self._envelope(kind, [choice]) | {"usage": counts, **extra})

    def opening(self) -> bytes:
        """What a chat stream says before its text; plain completions say nothing."""
        if not self._is_chat:
            return b""
        delta = {"role": "assistant", "content": "", "refusal": None}
        return event(self._envelope(self._chunk_kind, [self._choice(delta=delta)]))

    def delta(self, text: str) -> bytes:
        """A piece of text."""
        return self._before_text + encode(text) + self._after_text

    def part(self, text: str, more: JsonObject, logprobs: JsonObject | None = None) -> bytes:
        """A piece of the answer that is more than text.

        Args:
            text: may be empty.
            more: what else stands in a chat's delta: reasoning, tool calls.
            logprobs: of its tokens, if they were asked for.
        """
        if self._is_chat:
            # A piece that only has logprobs says so with an empty text.
            piece: JsonObject = {"delta": {"content": text, **more} if text or not more else more}
        else:
            piece = {"text": text}
        choice = self._choice(**piece) | {"logprobs": logprobs}
        return event(self._envelope(self._chunk_kind, [choice]))

    def finish(self, finish_reason: str, **extra: Any) -> bytes:
        """The end of the text."""
        part: JsonObject = {"delta": {}} if self._is_chat else {"text": ""}
        choice = self._choice(finish_reason=finish_reason, **part)
        return event(self._envelope(self._chunk_kind, [choice]) | extra)

    def counts(self, counts: JsonObject) -> bytes:
        """The usage chunk, which has no choices."""
        return event(self._envelope(self._chunk_kind, []) | {"usage": counts})

    @property
    def _chunk_kind(self) -> str:
        return "chat.completion.chunk" if self._is_chat else "text_completion"

    def _choice(self, *, finish_reason: str | None = None, **part: Any) -> JsonObject:
        return {"index": 0, **part, "logprobs": None, "finish_reason": finish_reason}

    def _envelope(self, kind: str, choices: list[JsonObject]) -> JsonObject:
        return {
            "id": self._id,
            "object": kind,
            "created": self._created,
            "model": self._model,
            "choices": choices,
        }
