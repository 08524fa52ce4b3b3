"""Send a case to a server and take down the answer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import httpx

from benchmarks.client.events import EventSplitter
from benchmarks.errors import BadTarget
from benchmarks.parity.cases import Case

_EVENTS = "text/event-stream"
_DONE = b"[DONE]"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: one of `document`, `events` and `text`."""

    status: int
    media_type: str  # without its parameters
    document: Any = None
    events: tuple[Any, ...] | None = None  # (name, JSON) each, without the last [DONE]
    ends_with_done: bool = False
    text: str | None = None  # a body that is neither JSON nor events


def ask(client: httpx.Client, url: str, case: Case) -> Answer:
    """The answer, whatever its status.

    Raises:
        BadTarget: nobody answers, or the answer breaks off.
    """
    headers = {"Content-Type": "application/json"} if case.content is not None else {}
    try:
        response = client.request(case.method, url + case.path, content=case.content, headers=headers)
    except httpx.HTTPError as exc:
        raise BadTarget(f"{url}: {case.name}: {exc or type(exc).__name__}") from exc
    media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
    if media_type == _EVENTS:
        return _stream(response.status_code, media_type, response.content)
    try:
        return Answer(response.status_code, media_type, document=json.loads(response.content))
    except ValueError:
        return Answer(response.status_code, media_type, text=response.text)


def _stream(status: int, media_type: str, content: bytes) -> Answer:
    splitter = EventSplitter()
    read = splitter.feed(content)
    ends_with_done = bool(read) and read[-1][1] == _DONE
    events = tuple((name, _json(data)) for name, data in (read[:-1] if ends_with_done else read))
    rest = "the last event has no end" if splitter.has_rest else None
    return Answer(status, media_type, events=events, ends_with_done=ends_with_done, text=rest)


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return {"not JSON": data.decode("utf-8", "replace")}
