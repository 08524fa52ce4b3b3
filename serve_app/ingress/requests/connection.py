"""A call ends when its client leaves or its time is over, whichever comes first."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from serve_app.errors import DeadlineExceeded
from serve_app.messages import Deadline
from serve_app.streams import Interrupt

T = TypeVar("T")


async def while_connected(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is interrupted as soon as the client is gone.

    Call it after the body was read: whatever else the client sends is dropped.

    Raises:
        ClientDisconnect: the client left first.
    """
    interrupt = Interrupt()
    watching = asyncio.create_task(_strike_when_gone(receive, interrupt))
    try:
        with interrupt:
            return await work
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def within_deadline(deadline: Deadline, stage: str, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled when the deadline is over.

    Raises:
        DeadlineExceeded: naming `stage`.
    """
    try:
        async with asyncio.timeout(deadline.remaining_s()) as timer:
            return await work
    except TimeoutError as exc:
        if not timer.expired():
            raise  # somebody else's timeout, from inside `work`
        raise DeadlineExceeded(f"the request's time was over at: {stage}", stage) from exc


async def _strike_when_gone(receive: Receive, interrupt: Interrupt) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    interrupt.strike(ClientDisconnect())
