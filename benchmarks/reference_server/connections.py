"""One client's connection: what it has sent that is not answered yet, and the call that is."""

from __future__ import annotations

import socket
import struct

from benchmarks.reference_server.calls import Call, Then
from benchmarks.reference_server.http_messages import MAX_BODY_BYTES, MAX_HEAD_BYTES, Head

_RECEIVE_BYTES = 262_144
_MAX_RECEIVED_BYTES = MAX_HEAD_BYTES + MAX_BODY_BYTES + _RECEIVE_BYTES
# l_onoff 1, l_linger 0: close() sends RST and forgets what the peer has not acknowledged.
_NO_LINGER = struct.pack("ii", 1, 0)


class Connection:
    """A non-blocking socket that answers one request at a time, in the order in which they came."""

    __slots__ = (
        "_socket",
        "call",
        "fileno",
        "first_byte_ns",
        "idle_ns",
        "is_closed",
        "received",
        "received_ns",
        "send",
    )

    def __init__(self, accepted: socket.socket) -> None:
        accepted.settimeout(0)
        self._socket = accepted
        self.send = accepted.send
        self.fileno = accepted.fileno()
        self.call: Call | None = None
        self.received = bytearray()
        self.first_byte_ns = 0  # when the first of `received` was read
        self.received_ns = 0  # when the last was
        self.idle_ns = 0  # when the answer before was complete
        self.is_closed = False

    def receive(self) -> bytes:
        """What has come; nothing means that the client has left, or sends without end.

        Raises:
            BlockingIOError: nothing has come.
        """
        try:
            data = self._socket.recv(_RECEIVE_BYTES)
        except ConnectionError:
            return b""
        return data if len(self.received) < _MAX_RECEIVED_BYTES else b""

    def keep(self, data: bytes, now_ns: int) -> None:
        """Add to `received`."""
        if not self.received:
            self.first_byte_ns = now_ns
        self.received_ns = now_ns
        self.received += data

    def take_body(self, head: Head) -> bytes | None:
        """The body of the request whose head it is, which leaves `received`; None: it is not complete."""
        end = head.num_head_bytes + head.num_body_bytes
        if len(self.received) < end:
            return None
        body = bytes(self.received[head.num_head_bytes : end])
        del self.received[:end]
        self.first_byte_ns = self.received_ns  # of the next request, which came with this one
        return body

    def close(self, then: Then) -> None:
        self.is_closed = True
        if then is Then.RESET:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self._socket.close()
