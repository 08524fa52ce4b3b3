"""What a replica says of itself to Serve's controller, and the watch of its loop. docs/decisions/0009.

Knows nothing of Ray: a deployment's `check_health` calls `check`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from configs.schema import HealthConfig
from serve_app.errors import Unavailable
from serve_app.health.loop_watch import LoopWatch

Check = Callable[[], Awaitable[None]]


async def nothing_to_check() -> None:
    """Of a replica without an engine: that this runs is all there is to know."""


class ReplicaHealth:
    """The health of one replica. Made in its constructor's last line: from then on its loop must run.

    Args:
        name: of the replica, for the log.
        config: the limits.
        check: raises EngineFailed if another replica should take this one's place. Unavailable is what it would
            raise in any other replica too, so it is not told to the controller.
    """

    def __init__(self, name: str, config: HealthConfig, check: Check = nothing_to_check) -> None:
        self._period_s = config.check_period_s
        self._check = check
        self._has_been_asked = False
        self._is_under_way = False
        self._loop_watch = LoopWatch(
            name, config.max_loop_block_s, config.patience_s, asyncio.get_running_loop()
        )

    async def check(self) -> None:
        """Return after `check_period_s` if this replica was well all the time.

        Ray tells a caller at once when the actor dies that works for it, and the controller is told of a
        replica's death by nothing else. So its question stays open as long as it would wait to ask again.

        The first answer comes at once, because a replica's start waits for it; and so does every other while
        one is under way, because a controller that was restarted waits too.

        Raises:
            EngineFailed: it is not well, as soon as that is known.
        """
        self._loop_watch.asked()
        await self._look()
        if not self._has_been_asked or self._is_under_way:
            self._has_been_asked = True
            return
        self._is_under_way = True
        try:
            await asyncio.sleep(self._period_s)
        finally:
            self._is_under_way = False
        await self._look()

    def close(self) -> None:
        """Watch the loop no more: the replica is about to end."""
        self._loop_watch.close()

    async def _look(self) -> None:
        try:
            await self._check()
        except Unavailable:
            return
