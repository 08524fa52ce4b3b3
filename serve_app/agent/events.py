"""An agent's events as bytes between replicas: one JSON object a line, whole lines in every message."""

from __future__ import annotations

import json
from collections.abc import Iterator

from serve_app.messages import AgentEvent


def encode_event(event: AgentEvent) -> bytes:
    return json.dumps({"type": event.type, "data": event.data}, separators=(",", ":")).encode() + b"\n"


def decode_events(lines: bytes) -> Iterator[AgentEvent]:
    """The events of one message or of several that were joined."""
    for line in lines.splitlines():
        event = json.loads(line)
        yield AgentEvent(event["type"], event["data"])
