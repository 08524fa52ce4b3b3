"""What a model's answer tells of itself, read from its bytes as they pass by: token counts, how it ended, its text.

Frames are only parsed where one of two short words is in them, or where texts are kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from serve_app.messages import JsonObject
from serve_app.telemetry.spans import Value

_MAX_CHARS = 65_536  # of the texts of one span
_DATA = b"data:"
_SIGNS = (b'"usage":{', b'"usage": {', b'"finish_reason":"', b'"finish_reason": "')


class Spoken:
    """One answer."""

    __slots__ = ("_finish_reasons", "_keeps_text", "_model", "_text", "_usage", "num_frames")

    def __init__(self, *, keeps_text: bool = False) -> None:
        self.num_frames = 0
        self._keeps_text = keeps_text
        self._usage: JsonObject | None = None
        self._finish_reasons: list[str] = []
        self._model: str | None = None
        self._text: list[str] = []

    @classmethod
    def of_document(cls, document: bytes) -> Spoken:
        spoken = cls(keeps_text=True)
        spoken._read(document)
        return spoken

    @classmethod
    def of_text(cls, text: str) -> Spoken:
        spoken = cls(keeps_text=True)
        spoken._text.append(text)
        return spoken

    def see(self, frame: bytes) -> None:
        """A piece of a stream: one or several whole events."""
        self.num_frames += 1
        if self._keeps_text or any(sign in frame for sign in _SIGNS):
            for line in frame.splitlines():
                if line.startswith(_DATA):
                    self._read(line[len(_DATA) :])

    @property
    def is_over(self) -> bool:
        """Whether its end was seen."""
        return bool(self._finish_reasons)

    def attributes(self) -> dict[str, Value]:
        """Of the span; what the answer does not tell is not there."""
        told: dict[str, Value] = {}
        if self._model is not None:
            told["gen_ai.response.model"] = self._model
        if self._finish_reasons:
            told["gen_ai.response.finish_reasons"] = self._finish_reasons
        usage = self._usage or {}
        details = usage.get("prompt_tokens_details")
        counts = {
            "gen_ai.usage.input_tokens": usage.get("prompt_tokens"),
            "gen_ai.usage.output_tokens": usage.get("completion_tokens"),
            "gen_ai.usage.cache_read.input_tokens": details.get("cached_tokens")
            if isinstance(details, dict)
            else None,
        }
        return told | {name: count for name, count in counts.items() if isinstance(count, int)}

    def output_messages(self) -> str:
        return _encoded([("assistant", "".join(self._text))])

    def _read(self, raw: bytes) -> None:
        try:
            document = json.loads(raw)
        except ValueError:  # [DONE], or bytes of somebody else's server
            return
        if not isinstance(document, dict):
            return
        if isinstance(document.get("usage"), dict):
            self._usage = document["usage"]
        if isinstance(document.get("model"), str):
            self._model = document["model"]
        for choice in _objects(document.get("choices")):
            if isinstance(choice.get("finish_reason"), str):
                self._finish_reasons.append(choice["finish_reason"])
            if self._keeps_text:
                part = choice.get("delta") or choice.get("message") or choice
                said = part.get("content", part.get("text")) if isinstance(part, dict) else None
                if isinstance(said, str):
                    self._text.append(said)


def input_messages(body: JsonObject) -> str:
    """What was asked, in the conventions' shape."""
    messages = _objects(body.get("messages"))
    said = [(str(one.get("role")), _text_of(one.get("content"))) for one in messages]
    if not said and isinstance(body.get("prompt"), str):
        said = [("user", body["prompt"])]
    return _encoded(said)


def _encoded(said: list[tuple[str, str]]) -> str:
    parts = [{"role": role, "parts": [{"type": "text", "content": text[:_MAX_CHARS]}]} for role, text in said]
    return json.dumps(parts, ensure_ascii=False)[: 4 * _MAX_CHARS]


def _text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(str(part.get("text", "")) for part in _objects(content))


def _objects(given: Any) -> Iterator[JsonObject]:
    if isinstance(given, list):
        yield from (one for one in given if isinstance(one, dict))
