"""Unix sockets with abstract names: no file to clean up, gone with their process.

Made here because uvloop takes a path for a C string and fails on the zero byte that abstract names begin with.
"""

from __future__ import annotations

import socket


def abstract(name: str) -> str:
    return "\0" + name


def local_socket() -> socket.socket:
    """A stream socket that never blocks; close it."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.setblocking(False)  # noqa: FBT003 (socket's own signature)
    return made
