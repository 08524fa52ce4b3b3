"""Reading OpenAI's server-sent events: bytes in, text and token counts out.

Frames may hold several events or end in the middle of one, even in the middle of a character.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from dataclasses import dataclass

from serve_app.errors import EngineFailed
from serve_app.messages import JsonObject

_EVENT_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_LINE_END = re.compile(r"\r\n|\n|\r")  # and no other: str.splitlines also cuts at what JSON may hold
_DONE = "[DONE]"


class SseReader:
    """Cuts a byte stream into the data of its events."""

    def __init__(self) -> None:
        self._held = b""

    @property
    def is_within_an_event(self) -> bool:
        """Whether the last frame ended in the middle of one."""
        return bool(self._held)

    def feed(self, frame: bytes) -> list[str]:
        """Data of the events that are complete by now; comments (pings) have none and are left out.

        Raises:
            EngineFailed: an event is not UTF-8.
        """
        whole = self._held + frame
        # Hardly anybody ends lines with a carriage return, and the expression takes many times as long.
        *events, self._held = _EVENT_END.split(whole) if b"\r" in whole else whole.split(b"\n\n")
        try:
            return [data for event in events if (data := _data(event.decode()))]
        except UnicodeDecodeError as exc:
            raise EngineFailed(f"the model's stream is not UTF-8: {exc.reason}") from exc


def _data(event: str) -> str:
    if event.startswith("data:") and "\n" not in event and "\r" not in event:  # as nearly all are
        return event[5:].removeprefix(" ")
    lines = [line[5:].removeprefix(" ") for line in _LINE_END.split(event) if line.startswith("data:")]
    return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class TextDelta:
    """What a piece of a text stream says."""

    text: str = ""
    finish_reason: str | None = None
    usage: JsonObject | None = None
    tool_calls: tuple[JsonObject, ...] = ()  # pieces of calls, as OpenAI streams them

    @property
    def is_text_alone(self) -> bool:
        return self.finish_reason is None and self.usage is None and not self.tool_calls


async def text_deltas(frames: AsyncIterator[bytes]) -> AsyncGenerator[TextDelta]:
    """Text, calls of tools, finish reason and usage of a stream of /v1/chat/completions, up to `[DONE]`.

    Texts that came in one frame are one: the faster tokens come, the fewer pieces they are in.

    Raises:
        EngineFailed: an event is no JSON or an error, or the stream ends before `[DONE]`.
    """
    reader = SseReader()
    async for frame in frames:
        events = reader.feed(frame)
        try:
            num_told = events.index(_DONE)
        except ValueError:
            num_told = len(events)
        for delta in _joined(events[:num_told]):
            yield delta
        if num_told < len(events):
            return
    raise EngineFailed("the model's stream ended before it was complete")


def _joined(events: Sequence[str]) -> Iterator[TextDelta]:
    """What they say, in their order. Raises EngineFailed after all that came before what is wrong."""
    texts: list[str] = []
    fault: EngineFailed | None = None
    for data in events:
        try:
            delta = _delta(data)
        except EngineFailed as exc:
            fault = exc
            break
        if delta.is_text_alone:
            texts.append(delta.text)
            continue
        if texts:
            yield TextDelta("".join(texts))
            texts.clear()
        yield delta
    if texts:
        yield TextDelta("".join(texts))
    if fault is not None:
        raise fault


def _delta(data: str) -> TextDelta:
    try:
        document = json.loads(data)
        if document.get("error"):
            raise EngineFailed(f"the model failed in its stream: {document['error'].get('message')}")
        choice = document["choices"][0] if document.get("choices") else {}
        delta = choice.get("delta", {})
        return TextDelta(
            text=delta.get("content") or "",
            finish_reason=choice.get("finish_reason"),
            usage=document.get("usage"),
            tool_calls=tuple(delta.get("tool_calls") or ()),
        )
    except (ValueError, AttributeError, KeyError, TypeError, IndexError) as exc:
        raise EngineFailed(f"the model's stream has an event that is no chat chunk: {data[:200]!r}") from exc
