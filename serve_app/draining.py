"""Whether this replica is being drained, and when its time is over.

Serve's controller asks a replica to shut down, waits for its running requests until their grace time is over,
and kills it. It tells the code inside nothing, so this looks at two attributes that are Serve's own business:
the one way there is in Ray 2.60, kept in this file. A test on a real Ray fails when they move; on a Ray that
has none of them a line in the log says so, and a replica is never drained as far as this knows.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Protocol

logger = logging.getLogger("manta.draining")

# A look reads one attribute. The grace time is told from the look that saw the drain, so it may be late by this.
_LOOK_S = 0.2


class ReplicaState(Protocol):
    """What there is to know of the replica that this process is."""

    def is_shutting_down(self) -> bool: ...

    def grace_s(self) -> float:
        """Seconds from the request to shut down to the kill."""
        ...


class Draining:
    """The end of this replica. Made once in a replica, on its event loop; `close` it with the replica.

    Args:
        find: gives the replica's state; None where it cannot be known.
        clock: seconds that never go back.
        look_s: seconds between two looks.
    """

    def __init__(
        self,
        find: Callable[[], ReplicaState | None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        look_s: float = _LOOK_S,
    ) -> None:
        self._state = (find or serve_replica)()
        self._clock = clock
        self._look_s = look_s
        self._kill_at_s = 0.0
        self._has_begun = asyncio.Event()
        self._looking = asyncio.create_task(self._look()) if self._state is not None else None

    def is_draining(self) -> bool:
        return self._state is not None and self._state.is_shutting_down()

    async def grace_over(self, margin_s: float) -> None:
        """Return `margin_s` before the controller kills this replica, or at once if that is past.

        Never returns unless the replica is drained. Any number of callers may wait.
        """
        await self._has_begun.wait()
        await asyncio.sleep(max(0.0, self._kill_at_s - margin_s - self._clock()))

    async def close(self) -> None:
        """Look no more. Whoever waits goes on waiting."""
        if self._looking is not None:
            self._looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._looking

    async def _look(self) -> None:
        assert self._state is not None
        while not self._state.is_shutting_down():  # noqa: ASYNC110 (nobody sets an event: Serve only sets a flag)
            await asyncio.sleep(self._look_s)
        grace_s = self._state.grace_s()
        # It began somewhere since the look before.
        self._kill_at_s = self._clock() + grace_s - self._look_s
        logger.info("this replica is drained: %g s for what it has begun", grace_s)
        self._has_begun.set()


class _ServeReplica:
    """Serve's own object for this replica, through what Ray 2.60 calls these things."""

    def __init__(self, replica: object, min_grace_s: float) -> None:
        """Raises AttributeError where something has another name."""
        self._replica = replica
        self._min_grace_s = min_grace_s
        self.is_shutting_down()
        self.grace_s()

    def is_shutting_down(self) -> bool:
        is_shutting_down: bool = self._replica._shutting_down  # type: ignore[attr-defined]  # noqa: SLF001
        return is_shutting_down

    def grace_s(self) -> float:
        # Read anew each time: a new configuration of the deployment may change it in a running replica.
        config = self._replica._deployment_config  # type: ignore[attr-defined]  # noqa: SLF001
        return max(float(config.graceful_shutdown_timeout_s), self._min_grace_s)


def serve_replica() -> ReplicaState | None:
    """The Serve replica that this process is; None, with a line in the log, if it cannot be found."""
    try:
        from ray._private.worker import global_worker
        from ray.serve._private import constants

        (actor,) = global_worker.actors.values()
        replica = actor._replica_impl  # noqa: SLF001
        # What clients reach through HAProxy stays for so long at least (DeploymentReplica.stop of Ray 2.60).
        is_door = replica._ingress and constants.RAY_SERVE_ENABLE_DIRECT_INGRESS  # noqa: SLF001
        min_grace_s = constants.RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S if is_door else 0.0
        return _ServeReplica(replica, min_grace_s)
    except (ImportError, AttributeError, ValueError) as exc:
        logger.warning(
            "cannot know when this replica is drained (%s: %s); its streams end with it, unannounced",
            exc.__class__.__name__,
            exc,
        )
        return None
