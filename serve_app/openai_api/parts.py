"""What an answer has besides its text: tool calls and the probabilities of its tokens, and their shapes on the wire.

Knows nothing of how either is found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from serve_app.messages import JsonObject


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call that the model wants made."""

    id: str
    name: str
    arguments: str  # a JSON object, as text


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """How probable a token was, by the model's untouched logits: before temperature, bias, filters and grammar."""

    token: bytes  # the bytes that it stands for; half of a character can be among them
    logprob: float  # natural logarithm
    top: tuple[tuple[bytes, float], ...] = ()  # the most probable tokens at its place, best first
    offset: int = 0  # characters of the answer before it


def tool_calls(calls: Sequence[ToolCall]) -> list[JsonObject]:
    """`message.tool_calls` of a chat document."""
    return [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in calls
    ]


def tool_call_deltas(calls: Sequence[ToolCall], start: int) -> list[JsonObject]:
    """`delta.tool_calls` of a chat chunk: whole calls, of which the first is the answer's call number `start`."""
    return [{"index": start + index, **call} for index, call in enumerate(tool_calls(calls))]


def chat_logprobs(tokens: Sequence[TokenLogprob]) -> JsonObject:
    """`choice.logprobs` of chat."""
    content = [
        _chat_token(one.token, one.logprob)
        | {"top_logprobs": [_chat_token(token, logprob) for token, logprob in one.top]}
        for one in tokens
    ]
    return {"content": content, "refusal": None}


def completion_logprobs(tokens: Sequence[TokenLogprob]) -> JsonObject:
    """`choice.logprobs` of plain completions."""
    return {
        "tokens": [_text(one.token) for one in tokens],
        "token_logprobs": [one.logprob for one in tokens],
        # The chosen token is always among them, as OpenAI has it.
        "top_logprobs": [
            {_text(token): logprob for token, logprob in (*one.top, (one.token, one.logprob))}
            for one in tokens
        ],
        "text_offset": [one.offset for one in tokens],
    }


def _chat_token(token: bytes, logprob: float) -> JsonObject:
    return {"token": _text(token), "logprob": logprob, "bytes": list(token)}


def _text(token: bytes) -> str:
    """The token as text; bytes that are no character of their own as `bytes:\\xe6`, as OpenAI wrote them."""
    try:
        return token.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in token)
