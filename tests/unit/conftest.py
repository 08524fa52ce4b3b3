"""Unit tests stay in the process: no Ray, no connections, no sleeping."""

from __future__ import annotations

import asyncio
import selectors
import socket
import sys
import time
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any, NoReturn, TypeVar

import pytest

import serve_app.messages

T = TypeVar("T")


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


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose time jumps to the next timer when nothing else is to be done."""

    def __init__(self) -> None:
        self.now_s = 0.0
        real = selectors.DefaultSelector()
        select = real.select

        def jump(timeout: float | None = None) -> list[Any]:
            assert timeout is not None, "everything waits for something that never comes"
            self.now_s += max(0.0, timeout)
            return select(0)

        real.select = jump  # type: ignore[method-assign]
        super().__init__(real)

    def time(self) -> float:
        return self.now_s


@pytest.fixture
def virtual(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Coroutine[Any, Any, T]]], T]:
    """Runs a coroutine function on a fresh virtual clock; nothing it started may outlive it."""

    def run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
        loop = VirtualLoop()
        monkeypatch.setattr(serve_app.messages, "time", SimpleNamespace(monotonic=loop.time))
        try:
            result = loop.run_until_complete(main())
            left = asyncio.all_tasks(loop)
            assert not left, f"still running: {left}"
            return result
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    return run
