"""Replicas that do not answer, as far as one caller knows. Pure.

Serve's controller gives a replica up after three health checks, some twenty seconds; until then Serve's router goes on
choosing it. Whoever waited for it in vain knows sooner.
"""

from __future__ import annotations

import math
from collections.abc import Callable

# Longer than the controller takes to replace it. One that answers again sooner is chosen again as soon as that is seen.
LEFT_OUT_S = 30.0


class Silence:
    """The silent ones among a deployment's replicas.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since: dict[str, float] = {}

    def found(self, replica: str) -> None:
        """It has not answered for long enough."""
        now = self._clock()
        self._since = {one: since for one, since in self._since.items() if now - since < LEFT_OUT_S}
        self._since[replica] = now

    def broken(self, replica: str, asked_at: float) -> None:
        """It has answered what was asked then."""
        if self._since.get(replica, math.inf) <= asked_at:
            del self._since[replica]

    def holds(self, replica: str) -> bool:
        """Whether it is to be left out."""
        since = self._since.get(replica)
        return since is not None and self._clock() - since < LEFT_OUT_S
