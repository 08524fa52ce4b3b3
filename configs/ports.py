"""A port for a server that is yet to start."""

from __future__ import annotations

import random
import socket
from contextlib import suppress

# Above what Ray uses by itself, and below what systems give to whoever asks for any: one of those can be a client's end
# of a connection by the time that the server binds it.
_PORTS = range(20_000, 30_000)


def free_port() -> int:
    """A port of loopback on which nothing listens, and which the system gives to nobody while a server starts."""
    while True:
        port = random.choice(_PORTS)  # noqa: S311 (no secret)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
