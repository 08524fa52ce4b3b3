"""Changes to a tenant's base: one at a time, store and manifest in step, whatever breaks in between.

Order of a change: chunks are written, stale ones deleted, the manifest last. A fault at any point leaves
a base that answers. Before the tenant's next change, and once after each start, the store is compared
with the manifest: chunks that no document owns are deleted, and documents that miss chunks are marked,
so that the next sync brings them again. This needs no log of intentions, and it also heals a store that
lost files, and a server whose index was deleted or restored: it is then another generation. It reads
all chunk ids of the tenant (16 ms for 100,000 in the embedded store).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from serve_app.messages import Deadline
from serve_app.retrieval.base import Chunk, Store
from serve_app.retrieval.leases import Lease, Leases, LocalLeases
from serve_app.retrieval.manifest import Manifest, Record

T = TypeVar("T")

# A lease like a tenant's, of whoever makes the index anew; no tenant is called so.
REINDEX = "\x00reindex"


class Writer:
    """Changes a store and its manifest.

    Args:
        store: where the chunks are.
        manifest: of the documents.
        leases: keep other replicas' writers out, where there are any.
    """

    def __init__(self, store: Store, manifest: Manifest, leases: Leases | None = None) -> None:
        self._store = store
        self._manifest = manifest
        self._leases = leases or LocalLeases()
        self._locks: dict[str, asyncio.Lock] = {}  # tenant -> its writer's lock
        self._held: dict[str, Lease] = {}  # tenant -> the lease of the writer whose turn it is

    @asynccontextmanager
    async def turn(self, tenant: str, deadline: Deadline | None = None) -> AsyncIterator[None]:
        """Hold the tenant's base, repaired if need be; other writers of the tenant wait."""
        async with (
            self._locks.setdefault(tenant, asyncio.Lock()),
            self._leases.hold(tenant, deadline) as lease,
        ):
            generation = await self._store.generation()
            if self._store.is_frozen:
                await self._thawed(deadline)
                generation = await self._store.generation()
            if lease.in_step_at != generation:
                lease.in_step_at = None
                await _to_its_end(self._repair(tenant))
                lease.in_step_at = generation
            self._held[tenant] = lease
            try:
                yield
            finally:
                del self._held[tenant]

    async def reindex(self, deadline: Deadline | None = None) -> None:
        """Make the index anew, as the store's `rebuild`; one at a time, whoever of the replicas it is."""
        async with (
            self._locks.setdefault(REINDEX, asyncio.Lock()),
            self._leases.hold(REINDEX, deadline) as lease,
        ):
            await _to_its_end(self._store.rebuild())
            lease.in_step_at = await self._store.generation()

    async def _thawed(self, deadline: Deadline | None) -> None:
        """Wait for whoever makes the index anew; let it be written again if they are gone.

        Raises:
            Unavailable: they are still at it at the deadline; the message says who.
        """
        async with (
            self._locks.setdefault(REINDEX, asyncio.Lock()),
            self._leases.hold(REINDEX, deadline),
        ):
            await self._store.generation()
            if self._store.is_frozen:
                await self._store.thaw()

    async def repaired(self, tenant: str, deadline: Deadline | None = None) -> None:
        """Return once the tenant's base is known to be in step. Waits for nobody if it is."""
        if await self._leases.in_step_at(tenant) != await self._store.generation():
            async with self.turn(tenant, deadline):
                return

    async def replace(
        self, tenant: str, chunks: Sequence[Chunk], stale: Sequence[str], records: Sequence[Record]
    ) -> None:
        """Write documents: all their chunks, and the ids of those they had before. Inside a turn."""

        async def change(lease: Lease) -> None:
            await self._store.upsert(chunks)
            await self._store.delete(tenant, stale)
            lease.check()
            await self._manifest.commit(tenant, put=records)

        await _to_its_end(self._in_step(tenant, change))

    async def remove(self, tenant: str, records: Mapping[str, Record]) -> None:
        """Remove documents (id -> record) with their chunks. Inside a turn."""

        async def change(lease: Lease) -> None:
            chunk_ids = [chunk_id for record in records.values() for chunk_id in record.chunk_ids]
            await self._store.delete(tenant, chunk_ids)
            lease.check()
            await self._manifest.commit(tenant, removed=list(records))

        await _to_its_end(self._in_step(tenant, change))

    async def _in_step(self, tenant: str, change: Callable[[Lease], Awaitable[None]]) -> None:
        lease = self._held[tenant]
        lease.check()
        generation, lease.in_step_at = lease.in_step_at, None
        await change(lease)
        lease.in_step_at = generation

    async def _repair(self, tenant: str) -> None:
        stored = await self._store.chunk_ids(tenant)
        wanted = await self._manifest.chunk_ids(tenant)
        orphans = stored.difference(*wanted.values())
        await self._store.delete(tenant, sorted(orphans))
        incomplete = [one for one, chunk_ids in wanted.items() if not stored.issuperset(chunk_ids)]
        if incomplete:
            await self._manifest.mark_incomplete(tenant, incomplete)


async def _to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """The work's result. A caller that is cancelled waits until the work is done, and then leaves.

    Otherwise a write would go on in its threads while the next writer already holds the lock.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError:
                continue  # told once already; leaving earlier is what must not happen
        if not task.cancelled():
            task.exception()  # read, so that it is not reported as forgotten
        raise
