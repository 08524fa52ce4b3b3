"""Time that passes only when nothing else can happen: the tests of this folder wait for hours at no cost."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from serve_app.messages import Deadline, Priority, RequestContext

START_S = 1000.0


class _Selector(selectors.SelectSelector):
    """Instead of waiting, moves its loop's clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = START_S

    def select(self, timeout: float | None = None) -> list[Any]:
        assert timeout is not None, "everybody waits, and there is no timer"
        self.now_s += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop that is never idle: its clock jumps to the next timer."""

    def __init__(self) -> None:
        self._jumping = _Selector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """All async tests of this folder run in virtual time."""
    return {"virtual": VirtualLoop}


@pytest.fixture
def virtual_loop() -> type[asyncio.AbstractEventLoop]:
    """For tests that run loops of their own."""
    return VirtualLoop


def _make_context(
    left_s: float = 600.0,
    priority: Priority = Priority.INTERACTIVE,
    now_s: float | None = None,
) -> RequestContext:
    now_s = asyncio.get_running_loop().time() if now_s is None else now_s
    return RequestContext("test", "default", Deadline(now_s + left_s), priority)


@pytest.fixture
def make_context() -> Callable[..., RequestContext]:
    """`make_context(left_s=600, priority=..., now_s=...)`; without `now_s`, of the running loop."""
    return _make_context
