"""Simulated time: what happens next, in order. Knows nothing of what happens."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any


class Events:
    """Actions that are due, earliest first; those due at the same time in the order they were planned.

    `now_s` is the time of the action that runs.
    """

    __slots__ = ("_heap", "_num_planned", "now_s")

    def __init__(self) -> None:
        self.now_s = 0.0
        self._heap: list[tuple[float, int, Callable[[Any], None], Any]] = []
        self._num_planned = 0

    def at(self, at_s: float, action: Callable[[Any], None], argument: Any = None) -> None:
        """Plan an action; one planned for the past runs now."""
        self._num_planned += 1
        heapq.heappush(self._heap, (at_s, self._num_planned, action, argument))

    def run(self) -> None:
        """Run until nothing is planned."""
        heap, pop = self._heap, heapq.heappop
        while heap:
            at_s, _, action, argument = pop(heap)
            self.now_s = max(self.now_s, at_s)
            action(argument)

    def stop(self) -> None:
        """Forget what is planned; `run` returns after the action that runs."""
        self._heap.clear()
