"""What a replica holds at the moment, told every few seconds: slots, streams, tasks.

What should be as many after an hour as after a minute. Knows nothing of Ray: `put` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Protocol

from serve_app.telemetry.metrics import EVENT_LOOP_TASKS, Metric

EVERY_S = 5.0

Reading = tuple[Metric, float]
Read = Callable[[], Iterable[Reading]]


class Put(Protocol):
    """Sets a gauge."""

    def __call__(self, metric: Metric, value: float, **labels: str) -> None: ...


class Pulse:
    """Tells what `read` gives, and the number of tasks of this loop, until it is closed.

    Args:
        name: of the deployment, each gauge's label.
    """

    def __init__(self, name: str, put: Put, read: Read, every_s: float = EVERY_S) -> None:
        self._name = name
        self._put = put
        self._read = read
        self._every_s = every_s
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        while True:
            for metric, value in self._read():
                self._put(metric, value, name=self._name)
            self._put(EVENT_LOOP_TASKS, len(asyncio.all_tasks()), name=self._name)
            await asyncio.sleep(self._every_s)
