"""Ports for servers that are yet to start."""

from __future__ import annotations

import random
import socket
from pathlib import Path

import pytest

from configs import ports


def test_a_port_is_free_and_nobodys_by_chance() -> None:
    first_of_the_systems = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    port = ports.free_port()
    assert 20_000 <= port < first_of_the_systems
    with socket.socket() as server:
        server.bind(("127.0.0.1", port))


def test_one_that_is_taken_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    free = ports.free_port()
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        tried = iter((server.getsockname()[1], free))
        monkeypatch.setattr(random, "choice", lambda _: next(tried))
        assert ports.free_port() == free
