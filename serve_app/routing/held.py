"""A small model's answer while nobody has seen it yet: what it says, how sure it was, and what it took.

Reads OpenAI's shapes, as a document or as the events of a stream, and gives back the frames as the client would have
got them: log-probabilities that only we asked for are taken out again.
"""

from __future__ import annotations

import json
from typing import Any

from serve_app.errors import EngineFailed
from serve_app.messages import JsonObject
from serve_app.openai_api.responses import encode, event
from serve_app.openai_api.sse import SseReader
from serve_app.routing.signals import token_logprobs

_DONE = "[DONE]"


class HeldAnswer:
    """The frames of one answer, read as they come.

    Args:
        strips_logprobs: the client has not asked for any.
    """

    def __init__(self, *, is_stream: bool, strips_logprobs: bool) -> None:
        self.logprobs: list[float] = []
        self.text = ""
        self.num_prompt, self.num_answer = 0, 0
        self._is_stream = is_stream
        self._strips = strips_logprobs
        self._reader = SseReader()

    def take(self, frame: bytes) -> bytes:
        """Note what a frame says; the frame that the client may have instead.

        Raises:
            EngineFailed: it is not OpenAI's.
        """
        try:
            if not self._is_stream:
                return encode(self._note(json.loads(frame)))
            events = self._reader.feed(frame)
            return b"".join(
                b"data: [DONE]\n\n" if data == _DONE else event(self._note(json.loads(data)))
                for data in events
            )
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise EngineFailed("the small model's answer is no answer of OpenAI's API") from exc

    def _note(self, document: JsonObject) -> JsonObject:
        for choice in document.get("choices") or ():
            self.logprobs += token_logprobs(choice)
            said: dict[str, Any] = choice.get("delta") or choice.get("message") or choice
            self.text += said.get("content") or said.get("text") or ""
            if self._strips:
                choice["logprobs"] = None
        if usage := document.get("usage"):
            self.num_prompt = int(usage.get("prompt_tokens") or 0)
            self.num_answer = int(usage.get("completion_tokens") or 0)
        return document

    def tokens(self) -> tuple[int, int]:
        """Of prompt and answer; of a stream without usage, as many answer tokens as told their probabilities."""
        return self.num_prompt, self.num_answer or len(self.logprobs)
