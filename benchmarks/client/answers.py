"""What answers say: pieces of text, usage, errors, the end. One reader a kind of body.

Typed decoding looks only at the fields that a measurement needs. Knows nothing of time or connections.
"""

from __future__ import annotations

from typing import Any, Protocol

import msgspec


class PromptDetails(msgspec.Struct, frozen=True):
    """What the server says of a prompt's tokens besides their number."""

    cached_tokens: int | None = None


class Usage(msgspec.Struct, frozen=True):
    """The server's own count of tokens."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None

    @property
    def cached_tokens(self) -> int | None:
        """Of the prompt, those that were not computed again."""
        return self.prompt_tokens_details.cached_tokens if self.prompt_tokens_details else None


class Said(msgspec.Struct, frozen=True):
    """What one event or document said."""

    text: str = ""  # empty: no token in it
    usage: Usage | None = None
    error: str | None = None
    is_end: bool = False


class Reader(Protocol):
    """Reads the bodies of one kind of answer."""

    def event(self, name: str, data: bytes) -> Said:
        """One server-sent event.

        Raises:
            msgspec.DecodeError: it is not what this kind of answer consists of.
        """

    def document(self, body: bytes) -> Said:
        """A whole body that is no stream. Raises as `event`."""


class _Text(msgspec.Struct):
    """A chat delta or message. Reasoning models stream their thoughts under one of two names."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[Any] | None = None

    def any(self) -> str:
        """The first text in it; a fragment of a tool call is a token, too."""
        text = self.content or self.reasoning_content or self.reasoning
        return text or (str(self.tool_calls) if self.tool_calls else "")


class _Choice(msgspec.Struct):
    delta: _Text | None = None
    message: _Text | None = None
    text: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    usage: Usage | None = None
    error: Any = None


class _ErrorText(msgspec.Struct):
    message: str | None = None


_OPENAI = msgspec.json.Decoder(_Chunk)
_END = Said(is_end=True)
_NOTHING = Said()


class OpenAIReader:
    """Chat and text completions, and embeddings (whose vectors it does not look at)."""

    def event(self, name: str, data: bytes) -> Said:
        if data == b"[DONE]":
            return _END
        chunk = _OPENAI.decode(data)
        if chunk.error is not None or name == "error":
            return Said(error=error_text(data))
        if chunk.usage is None and len(chunk.choices) == 1:
            choice = chunk.choices[0]
            text = choice.delta.any() if choice.delta is not None else choice.text
            return Said(text) if text else _NOTHING
        return Said(_texts(chunk), chunk.usage)

    def document(self, body: bytes) -> Said:
        chunk = _OPENAI.decode(body)
        if chunk.error is not None:
            return Said(error=error_text(body))
        return Said(_texts(chunk), chunk.usage, is_end=True)


def _texts(chunk: _Chunk) -> str:
    parts = []
    for choice in chunk.choices:
        said = choice.delta or choice.message
        parts.append(said.any() if said is not None else choice.text or "")
    return "".join(parts)


class _Delta(msgspec.Struct):
    text: str = ""
    usage: Usage | None = None


_AGENT = msgspec.json.Decoder(_Delta)


class AgentReader:
    """The events of a Manta agent's run; its answer ends with `answer.final`."""

    def event(self, name: str, data: bytes) -> Said:
        if name == "answer.delta":
            return Said(_AGENT.decode(data).text)
        if name == "answer.final":
            return Said(usage=_AGENT.decode(data).usage, is_end=True)
        if name == "error":
            return Said(error=error_text(data))
        return _NOTHING

    def document(self, body: bytes) -> Said:
        answer = _AGENT.decode(body)
        return Said(answer.text, answer.usage, is_end=True)


def reader_of(kind: str) -> Reader:
    """The reader for a workload's kind of request."""
    return AgentReader() if kind == "agent" else OpenAIReader()


def error_text(body: bytes) -> str:
    """What an error says, at most 300 characters: OpenAI's message where there is one, else the body."""
    try:
        error = msgspec.json.decode(body, type=_ErrorBody).error
    except msgspec.DecodeError:
        return body[:300].decode("utf-8", errors="replace")
    text = error.message if isinstance(error, _ErrorText) else error
    return (text or body.decode("utf-8", errors="replace"))[:300]


class _ErrorBody(msgspec.Struct):
    error: _ErrorText | str | None = None
