"""What a request will take, before it is known: pure guesses, corrected by what it really took."""

from __future__ import annotations

from collections.abc import Sequence

from serve_app.messages import JsonObject

# English text has about four characters a token (OpenAI's own rule of thumb, help.openai.com article 4936856,
# 2025); other scripts have fewer, and the correction afterwards makes good for it.
CHARS_PER_TOKEN = 4
MESSAGE_TOKENS = 4  # what a chat template puts around a message, about
PART_TOKENS = 800  # an image or another part that is no text, about
_MAX_ASKED = 10_000_000


def prompt_tokens(body: JsonObject) -> int:
    """Tokens of what a body has for a model to read; a body that cannot be understood has none."""
    total = 0
    messages = body.get("messages")
    if isinstance(messages, list):
        total += sum(
            MESSAGE_TOKENS + _content(one.get("content")) for one in messages if isinstance(one, dict)
        )
    for name in ("prompt", "input", "question", "query", "documents", "text_1", "text_2"):
        total += _content(body.get(name))
    return total


def answer_tokens(body: JsonObject, default: int) -> int:
    """Most tokens that the answer may have, all of its choices together."""
    asked = (body.get(name) for name in ("max_completion_tokens", "max_output_tokens", "max_tokens"))
    most = _count(next((value for value in asked if value is not None), None), default)
    return most * _count(body.get("n"), 1)


def text_tokens(texts: Sequence[str] | Sequence[Sequence[int]]) -> int:
    """Tokens of texts that are to be embedded, given as such or as token ids."""
    return sum(-(-len(text) // CHARS_PER_TOKEN) if isinstance(text, str) else len(text) for text in texts)


def _count(value: object, default: int) -> int:
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MAX_ASKED
    return value if is_count and isinstance(value, int) else default


def _content(content: object) -> int:
    """Of a text, a list of texts or parts, or a list of token ids."""
    if isinstance(content, str):
        return -(-len(content) // CHARS_PER_TOKEN)
    if not isinstance(content, list):
        return 0
    if content and isinstance(content[0], int):
        return len(content)
    return sum(_part(part) for part in content)


def _part(part: object) -> int:
    if isinstance(part, dict):
        text = part.get("text")
        return _content(text) if isinstance(text, str) else PART_TOKENS
    return _content(part)
