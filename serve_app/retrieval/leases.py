"""Who may change a tenant's base: one writer at a time, whatever the number of replicas.

A lease also says at which generation of the store its base was last known to be in step with the
manifest; a writer that broke off leaves it unknown, and the next one repairs first.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from serve_app.errors import Unavailable
from serve_app.messages import Deadline


@dataclass(slots=True)
class Lease:
    """A tenant's base, held for a change."""

    in_step_at: str | None = None  # generation of the store; None: not known
    is_lost: bool = False  # somebody else has taken it, because its holder was silent for too long

    def check(self) -> None:
        """Return if the base is still held.

        Raises:
            Unavailable: it is not; nothing more may be written.
        """
        if self.is_lost:
            raise Unavailable("another replica has taken over this tenant's base; sync again")


class Leases(Protocol):
    """The leases of all tenants."""

    def hold(self, tenant: str, deadline: Deadline | None) -> AbstractAsyncContextManager[Lease]:
        """Hold a tenant's base; what the lease says when it is let go is what the next holder reads.

        Raises:
            Unavailable: another replica holds it until the deadline; the message says which.
        """
        ...

    async def in_step_at(self, tenant: str) -> str | None:
        """What the lease says now, held or not; None while a change is being made."""
        ...


class LocalLeases:
    """Of a store with one writing process: each caller has its turn by the writer's own lock."""

    def __init__(self) -> None:
        self._leases: dict[str, Lease] = {}

    @asynccontextmanager
    async def hold(self, tenant: str, deadline: Deadline | None) -> AsyncIterator[Lease]:
        yield self._leases.setdefault(tenant, Lease())

    async def in_step_at(self, tenant: str) -> str | None:
        return self._leases.setdefault(tenant, Lease()).in_step_at
