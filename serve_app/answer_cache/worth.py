"""Whether an answer is worth keeping: whole, and one that the next who asks should get."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from serve_app.errors import EngineFailed
from serve_app.messages import JsonObject
from serve_app.openai_api.sse import SseReader

_DONE = "[DONE]"
# Of an agent's answer, what does not make it a worse one than another run's.
_HARMLESS_FLAGS = frozenset({"unevaluated", "uncalibrated", "extractive"})
# The web is another one tomorrow.
_FLEETING_STATES = frozenset({"web"})


class _Choice(msgspec.Struct):
    finish_reason: str | None = None


class _Document(msgspec.Struct):
    """A chunk or a whole answer of a model, and nothing of it that does not matter: every token has one."""

    choices: tuple[_Choice, ...] | None = None
    error: Any = msgspec.UNSET


_documents = msgspec.json.Decoder(
    tuple[_Document, ...]
).decode  # all at once: a call for each takes as long again


def is_worth_keeping(frames: Sequence[bytes], *, is_stream: bool, is_agent: bool) -> bool:
    """Whether the answer is whole, without an error, and good enough."""
    if not frames:
        return False
    try:
        if is_agent:
            return _is_agents_worth_keeping(_events(frames) if is_stream else [json.loads(frames[0])])
        return _is_models_worth_keeping(_data(frames) if is_stream else (frames[0].decode(), _DONE))
    except (ValueError, msgspec.DecodeError, EngineFailed):
        return False


def _is_models_worth_keeping(texts: Sequence[str]) -> bool:
    """Of its documents, and behind them what ends a whole stream."""
    if not texts or texts[-1] != _DONE:
        return False
    documents = _documents("[" + ",".join(texts[:-1]) + "]")
    reasons = {choice.finish_reason for one in documents for choice in one.choices or ()} - {None}
    is_error = any(one.error is not msgspec.UNSET for one in documents)
    return bool(reasons) and not is_error and "content_filter" not in reasons


def _is_agents_worth_keeping(documents: Sequence[JsonObject] | None) -> bool:
    if documents is None or any("error" in one for one in documents):
        return False
    finals = [final for one in documents if (final := _final(one)) is not None]
    return bool(finals) and _is_good(finals[-1])


def _data(frames: Sequence[bytes]) -> list[str]:
    """Of a stream's events, in their order."""
    return SseReader().feed(b"".join(frames))


def _events(frames: Sequence[bytes]) -> list[JsonObject] | None:
    """The stream's documents; None: it did not come to its end."""
    found = _data(frames)
    is_openai = bool(found) and found[-1] == _DONE
    documents: list[Any] = [json.loads(data) for data in (found[:-1] if is_openai else found)]
    documents = [one for one in documents if isinstance(one, dict)]
    is_whole = is_openai or (bool(documents) and "outcome" in documents[-1])
    return documents if is_whole else None


def _final(document: JsonObject) -> JsonObject | None:
    """What an agent's run came to: under `manta` in a chat, at the top in its own shape."""
    inner = document.get("manta", document)
    return inner if isinstance(inner, dict) and "outcome" in inner else None


def _is_good(final: JsonObject) -> bool:
    flags = set(final.get("flags") or ())
    states = {step.get("state") for step in final.get("run") or ()}
    return (
        final["outcome"] in ("answered", "degraded")
        and flags <= _HARMLESS_FLAGS
        and not states & _FLEETING_STATES
    )
