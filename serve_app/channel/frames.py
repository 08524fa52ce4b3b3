"""The channel's wire format: frames of streams, back to back, in one byte stream.

A frame is a header of 9 bytes, little-endian (stream id: u32, kind: u8, length of the payload: u32), and
its payload. The sender of a stream is an engine or an agent; the receiver is who called it.

Knows nothing of sockets. What comes in is checked, for it may come from a stranger.
"""

from __future__ import annotations

import struct
from enum import IntEnum

from serve_app.errors import EngineFailed

VERSION = 3
HEADER = struct.Struct("<IBI")
MAX_PAYLOAD_BYTES = 8 << 20
# What a stream may have on the way or unread before its sender waits.
WINDOW_BYTES = 256 << 10
NO_STREAM = 0  # the stream id of frames that concern the connection


class Kind(IntEnum):
    """What a frame is."""

    DATA = 1  # sender: the stream's next bytes
    END = 2  # sender: there are no more
    ERROR = 3  # sender: what ended the stream instead, as `faults` encodes it
    CREDIT = 4  # receiver: so many bytes more may be sent (u32)
    RESET = 5  # receiver: nobody wants the rest; the payload is the reason
    PING = 6  # receiver: is your loop alive?
    PONG = 7  # sender: it is
    ASK = 8  # receiver: a stream more of a call that runs; the payload is the call's id (u32) and what is asked for
    NOT_TAKEN = 9  # sender: of a call that is over


class BadFrame(EngineFailed):
    """The other side does not speak the channel's language. The connection is of no use any more."""


Frame = tuple[int, Kind, bytes]


def frame(stream_id: int, kind: Kind, payload: bytes = b"") -> bytes:
    """One frame, encoded.

    Raises:
        EngineFailed: the payload is longer than a frame takes.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise EngineFailed(f"a message of {len(payload)} bytes is longer than a stream takes")
    return HEADER.pack(stream_id, kind, len(payload)) + payload


def credit(stream_id: int, num_bytes: int) -> bytes:
    return frame(stream_id, Kind.CREDIT, num_bytes.to_bytes(4, "little"))


def credit_of(payload: bytes) -> int:
    """Bytes that a CREDIT frame grants.

    Raises:
        BadFrame: it is no number.
    """
    if len(payload) != 4:
        raise BadFrame(f"a credit has 4 bytes, not {len(payload)}")
    return int.from_bytes(payload, "little")


def ask(stream_id: int, call_id: int, payload: bytes) -> bytes:
    return frame(stream_id, Kind.ASK, call_id.to_bytes(4, "little") + payload)


def ask_of(payload: bytes) -> tuple[int, bytes]:
    """(the call's id, what is asked for) of an ASK frame.

    Raises:
        BadFrame: it names no call.
    """
    if len(payload) < 4:
        raise BadFrame(f"what is asked for has {len(payload)} bytes")
    return int.from_bytes(payload[:4], "little"), payload[4:]


class FrameReader:
    """Cuts what arrives into frames."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are complete by now, in their order.

        Raises:
            BadFrame: an unknown kind, or a payload that is longer than any of ours.
        """
        if self._rest:
            data = self._rest + data
        frames: list[Frame] = []
        at, end = 0, len(data)
        while end - at >= HEADER.size:
            stream_id, kind, length = HEADER.unpack_from(data, at)
            if length > MAX_PAYLOAD_BYTES or not Kind.DATA <= kind <= Kind.NOT_TAKEN:
                raise BadFrame(f"a frame of kind {kind} with {length} bytes is none of ours")
            body = at + HEADER.size
            if end - body < length:
                break
            at = body + length
            frames.append((stream_id, Kind(kind), data[body:at]))
        self._rest = data[at:]
        return frames
