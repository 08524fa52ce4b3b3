"""Unit tests stay in the process: no Ray, no connections, no sleeping."""

from __future__ import annotations

import socket
import sys
import time
from typing import Any, NoReturn

import pytest


@pytest.fixture(autouse=True)
def _only_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(name: str) -> Any:
        def call(*args: object, **kwargs: object) -> NoReturn:
            raise AssertionError(f"a unit test must not call {name}")

        return call

    monkeypatch.setattr(socket.socket, "connect", forbidden("socket.connect"))
    monkeypatch.setattr(socket.socket, "bind", forbidden("socket.bind"))
    monkeypatch.setattr(time, "sleep", forbidden("time.sleep"))
    if "ray" in sys.modules:
        monkeypatch.setattr(sys.modules["ray"], "init", forbidden("ray.init"))
