"""An agent's events as bytes between replicas: one JSON object a line, whole lines in every message."""

from __future__ import annotations

import json
from collections.abc import Iterator

from serve_app.messages import AgentEvent

DELTA = "answer.delta"

_to_json = json.JSONEncoder(separators=(",", ":")).encode


def encode_event(event: AgentEvent) -> bytes:
    return _to_json({"type": event.type, "data": event.data}).encode() + b"\n"


def decode_events(lines: bytes) -> Iterator[AgentEvent]:
    """The events of one message or of several that were joined; texts that follow each other are one."""
    texts: list[str] = []
    for line in lines.splitlines():
        event = json.loads(line)
        if event["type"] == DELTA:
            texts.append(event["data"]["text"])
            continue
        if texts:
            yield AgentEvent(DELTA, {"text": "".join(texts)})
            texts.clear()
        yield AgentEvent(event["type"], event["data"])
    if texts:
        yield AgentEvent(DELTA, {"text": "".join(texts)})
