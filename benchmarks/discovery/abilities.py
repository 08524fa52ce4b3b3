"""What one endpoint does with one model, found by asking it for a few tokens.

First everything at once: a stream, its usage, ignore_eos and min_tokens. A server that refuses that is
asked for a plain stream, then for one field more at a time, so that the field it refuses is known.

Knows what OpenAI-compatible servers say; knows nothing of workloads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from benchmarks.discovery.probe import Answer, Probe, error_text
from benchmarks.endpoints import PATHS, Kind
from benchmarks.errors import BadTarget

NUM_PROBE_TOKENS = 16
_PROMPT = "Answer with the word yes."  # few models go on for 16 tokens unless they are held to it
_OPTIONS: dict[str, Any] = {
    "stream_options": {"include_usage": True},
    "ignore_eos": True,
    "min_tokens": NUM_PROBE_TOKENS,
}
_BLANK_LINE = re.compile(r"\r\n\r\n|\n\n|\r\r")


@dataclass(frozen=True, slots=True)
class Ability:
    """What an endpoint does with a model; None: nothing tells, or it does not apply.

    Args:
        takes: which of stream_options, ignore_eos and min_tokens it answers without refusing them. A
            server may take a field and do nothing with it.
        holds_length: whether an answer had as many tokens as ignore_eos and min_tokens asked, by usage.
        notes: what a reader of the results should know of it.
    """

    kind: Kind
    model: str
    takes: tuple[str, ...] = ()
    streams: bool | None = None
    streams_usage: bool | None = None
    ends_with_done: bool | None = None
    holds_length: bool | None = None
    notes: tuple[str, ...] = ()

    @property
    def can_hold_length(self) -> bool:
        """Whether it may be sent ignore_eos and min_tokens at all."""
        return {"ignore_eos", "min_tokens"} <= set(self.takes)


def probe_ability(probe: Probe, kind: Kind, model: str) -> Ability:
    """Ask the endpoint.

    Raises:
        BadTarget: it does not serve the model, or cannot be measured: an error, half an answer.
    """
    if kind == "embeddings":
        return _embeddings(probe, model)
    if kind == "agent":
        return _agent(probe)
    body = question(kind, model, _PROMPT, max_tokens=NUM_PROBE_TOKENS) | {"stream": True}
    answer, takes, notes = _most_it_takes(probe, PATHS[kind], body)
    return _judged(kind, model, answer, takes, notes)


def question(kind: Kind, model: str, text: str, *, max_tokens: int) -> dict[str, Any]:
    """The smallest body that asks a model something."""
    if kind == "embeddings":
        return {"model": model, "input": [text]}
    if kind == "completions":
        return {"model": model, "prompt": text, "max_tokens": max_tokens}
    messages = [{"role": "user", "content": text}]
    return {"model": model, "messages": messages, "max_tokens": max_tokens}


def _most_it_takes(
    probe: Probe, path: str, body: dict[str, Any]
) -> tuple[Answer, tuple[str, ...], list[str]]:
    """The answer to the body with all options that the server takes, and their names."""
    first = probe.post(path, body | _OPTIONS)
    if first.is_ok:
        return first, tuple(_OPTIONS), []
    answer = probe.post(path, body)
    if not answer.is_ok:
        raise BadTarget(answer.refusal())
    taken: dict[str, Any] = {}
    notes = []
    for name, value in _OPTIONS.items():
        tried = probe.post(path, body | taken | {name: value})
        if tried.is_ok:
            answer = tried
            taken[name] = value
        else:
            notes.append(f"{path} refuses {name} with {tried.status}: {error_text(tried.body)}")
    if not notes:
        notes.append(f"{first.refusal()}; asked again, it took every option")
    return answer, tuple(taken), notes


def _judged(kind: Kind, model: str, answer: Answer, takes: tuple[str, ...], notes: list[str]) -> Ability:
    path = PATHS[kind]
    if answer.is_event_stream:
        found = _read_stream(answer)
        if not found.is_done:
            notes.append(f"the stream of {path} ends without [DONE]")
        if not found.has_text:
            notes.append(f"the stream of {path} has no text in {NUM_PROBE_TOKENS} tokens")
        if found.num_tokens is None:
            notes.append(f"the stream of {path} has no usage")
        num_tokens = found.num_tokens
    else:
        found = None
        num_tokens = _num_completion_tokens(answer.document())
        notes.append(f"{path} does not stream: it answered {answer.content_type or 'without a content type'}")
    is_held = {"ignore_eos", "min_tokens"} <= set(takes)
    if is_held and num_tokens not in (None, NUM_PROBE_TOKENS):
        notes.append(
            f"{path} takes ignore_eos and min_tokens but made {num_tokens} tokens of {NUM_PROBE_TOKENS}"
        )
    return Ability(
        kind=kind,
        model=model,
        takes=takes,
        streams=found is not None,
        streams_usage=None if found is None else found.num_tokens is not None,
        ends_with_done=None if found is None else found.is_done,
        holds_length=num_tokens == NUM_PROBE_TOKENS if is_held and num_tokens is not None else None,
        notes=tuple(notes),
    )


@dataclass(slots=True)
class _Stream:
    has_text: bool = False
    is_done: bool = False
    num_tokens: int | None = None  # by usage


def _read_stream(answer: Answer) -> _Stream:
    found = _Stream()
    for data in _events(answer.body.decode("utf-8", "replace")):
        if data == "[DONE]":
            found.is_done = True
            continue
        event = _event(answer, data)
        if event.get("error"):
            raise BadTarget(f"{answer.asked} streamed an error: {error_text(data.encode())}")
        found.has_text = found.has_text or _has_text(event)
        found.num_tokens = _num_completion_tokens(event) or found.num_tokens
    return found


def _events(text: str) -> Iterator[str]:
    """The data of each server-sent event; comments and other fields are left out."""
    for block in _BLANK_LINE.split(text):
        lines = [
            line.removeprefix("data:").removeprefix(" ") for line in block.splitlines() if line[:5] == "data:"
        ]
        if lines:
            yield "\n".join(lines)


def _event(answer: Answer, data: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except msgspec.DecodeError as exc:
        raise BadTarget(f"{answer.asked} streamed what is no JSON object: {data[:80]!r}") from exc


def _has_text(event: dict[str, Any]) -> bool:
    choices = event.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        delta = choice.get("delta") if isinstance(choice, dict) else None
        pieces = delta if isinstance(delta, dict) else choice if isinstance(choice, dict) else {}
        # Models that think stream their thoughts under one of two other names.
        if any(pieces.get(name) for name in ("content", "text", "reasoning_content", "reasoning")):
            return True
    return False


def _num_completion_tokens(document: dict[str, Any]) -> int | None:
    return usage_count(document, "completion_tokens")


def usage_count(document: dict[str, Any], name: str) -> int | None:
    """A count of `usage`; None where there is none."""
    usage = document.get("usage")
    count = usage.get(name) if isinstance(usage, dict) else None
    return count if isinstance(count, int) and not isinstance(count, bool) else None


def _embeddings(probe: Probe, model: str) -> Ability:
    answer = probe.post(PATHS["embeddings"], question("embeddings", model, _PROMPT, max_tokens=1))
    data = answer.document().get("data")
    if not (
        isinstance(data, list) and len(data) == 1 and isinstance(data[0], dict) and data[0].get("embedding")
    ):
        raise BadTarget(f"{answer.asked} answered without an embedding")
    return Ability("embeddings", model)


def _agent(probe: Probe) -> Ability:
    # An empty question is refused where the agent is served; a real one would cost a whole answer.
    answer = probe.post(PATHS["agent"], {})
    if answer.status not in (400, 422):
        raise BadTarget(f"the agent is not served: {answer.refusal()}")
    return Ability("agent", "")
