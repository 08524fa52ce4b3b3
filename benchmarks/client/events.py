"""Server-sent events out of a body, however it was cut into reads.

As the HTML standard has them (event streams, 9.2.6): lines end in LF or CRLF, `data` lines of an event are
joined, comments are skipped. A lone CR as line end, which nobody sends, is not taken for one.
"""

from __future__ import annotations

import re

# (name, data): the name is "" for events that have none, as all of OpenAI's.
Event = tuple[str, bytes]

MAX_EVENT_BYTES = 16 * 1024 * 1024

_BLANK_LINE = re.compile(rb"\r?\n\r?\n")


class EventTooLarge(Exception):
    """An event did not end within MAX_EVENT_BYTES."""


class EventSplitter:
    """Takes a body's reads in order; gives back each event once it is whole."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that this read completes.

        Raises:
            EventTooLarge: see MAX_EVENT_BYTES.
        """
        # Nearly every read is one whole `data: {...}` event; this is the hot path of the client.
        if not self._rest and chunk[:6] == b"data: " and chunk[-2:] == b"\n\n" and chunk.count(b"\n") == 2:
            return [("", chunk[6:-2])]
        *blocks, self._rest = _BLANK_LINE.split(self._rest + chunk)
        if len(self._rest) > MAX_EVENT_BYTES:
            raise EventTooLarge(f"a server-sent event of more than {MAX_EVENT_BYTES} bytes")
        return [event for block in blocks if (event := _parse(block)) is not None]

    @property
    def has_rest(self) -> bool:
        """Whether an event was begun and not ended."""
        return bool(self._rest.strip())


def _parse(block: bytes) -> Event | None:
    name = ""
    data: list[bytes] = []
    for raw in block.split(b"\n"):
        field, _, value = raw.removesuffix(b"\r").partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value.decode("utf-8", errors="replace")
    return (name, b"\n".join(data)) if data else None
