"""Connections of another process are cut, and only those to the process that is named."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from benchmarks.conformance.connections import cut_connections
from benchmarks.scenarios.faults import FaultFailed

# Connects, says so, and leaves with what it read.
CLIENT = """
import socket, sys
family, address = (socket.AF_UNIX, sys.argv[1]) if not sys.argv[1].isdigit() else (socket.AF_INET, None)
client = socket.socket(family)
client.connect("\\0" + address if address else ("127.0.0.1", int(sys.argv[1])))
print("connected", flush=True)
sys.exit(len(client.recv(1)))
"""


@contextmanager
def connected(listener: socket.socket, address: str) -> Iterator[tuple[subprocess.Popen[str], socket.socket]]:
    process = subprocess.Popen([sys.executable, "-c", CLIENT, address], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        accepted, _ = listener.accept()
        assert process.stdout.readline() == "connected\n"
        with accepted:
            yield process, accepted
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@contextmanager
def tcp_connected() -> Iterator[tuple[subprocess.Popen[str], socket.socket]]:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        connected(listener, str(listener.getsockname()[1])) as both,
    ):
        yield both


def test_a_tcp_connection_ends_on_both_sides() -> None:
    with tcp_connected() as (process, accepted):
        assert cut_connections(process.pid, os.getpid()) == 1
        assert process.wait(timeout=10) == 0
        assert accepted.recv(1) == b""


def test_a_unix_connection_ends_on_both_sides() -> None:
    name = f"conformance-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0{name}")
        listener.listen()
        with connected(listener, name) as (process, accepted):
            assert cut_connections(process.pid, os.getpid()) == 1
            assert process.wait(timeout=10) == 0
            assert accepted.recv(1) == b""


def test_a_process_without_a_connection_to_the_other_is_left_alone() -> None:
    with tcp_connected() as (process, _), tcp_connected() as (another, _):
        with pytest.raises(FaultFailed, match="no connection is open"):
            cut_connections(process.pid, another.pid)
        assert process.poll() is another.poll() is None
