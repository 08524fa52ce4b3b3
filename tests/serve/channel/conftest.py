from __future__ import annotations

import asyncio
from collections.abc import Callable

import uvloop


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Replicas run on uvloop where it is installed; the two differ in what their sockets can do."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
