"""Keeps the configured sources current: every so often, and when somebody finds one of them stale.

Each replica has one; whichever is first syncs a source, and the others leave it alone meanwhile. A sync that
breaks off is noted, and made again at its next time. Nobody waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from configs.schema import KnowledgeConfig, SourceConfig
from serve_app.errors import MantaError, NotFound
from serve_app.messages import Deadline, DocumentInput, DocumentOutcome, Priority, RequestContext, SyncPlan
from serve_app.retrieval.knowledge import KnowledgeBase
from serve_app.retrieval.sources.base import Source
from serve_app.retrieval.sources.open import open_source
from serve_app.retrieval.sources.syncing import Limits, SyncReport, sync_source

logger = logging.getLogger("manta.retrieval")

_STEP_TIMEOUT_S = 600.0  # of one plan, one batch of documents, or one deletion
_LEASE_WAIT_S = 0.5


class LocalBase:
    """A tenant's base in this process as the Target of a sync."""

    def __init__(self, knowledge: KnowledgeBase, tenant: str) -> None:
        self._knowledge = knowledge
        self._tenant = tenant

    async def plan(self, source: str, states: Mapping[str, str]) -> SyncPlan:
        return await self._knowledge.plan_sync(source, states, background(self._tenant))

    async def put(self, source: str, documents: Sequence[DocumentInput]) -> Sequence[DocumentOutcome]:
        return await self._knowledge.put_documents(source, documents, background(self._tenant))

    async def delete(self, document_ids: Sequence[str]) -> int:
        return await self._knowledge.delete_documents(document_ids, background(self._tenant))


class Upkeep:
    """Syncs sources in the background.

    Args:
        knowledge: the base.
        config: its sources, and how they are kept current.
        home: what a folder's relative path is inside of.
        open_one: source -> opened; given in tests.
        sleep: waits; given in tests.
        now: the time, in UTC.
    """

    def __init__(
        self,
        knowledge: KnowledgeBase,
        config: KnowledgeConfig,
        home: Path,
        open_one: Callable[[SourceConfig], Source] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._knowledge = knowledge
        self._every_s = config.currency.sync_every_s
        self._syncs_when_stale = config.currency.sync_when_stale
        self._max_bytes = config.max_document_bytes
        self._open = open_one or (lambda one: open_source(one, home, config.max_document_bytes))
        self._sleep = sleep
        self._now = now
        self._sources = {(one.tenant, one.name): one for one in config.sources}
        self._syncing: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._keeping: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to sync by the clock, where the configuration says so. Inside a running loop."""
        if self._every_s is not None:
            self._keeping = [asyncio.create_task(self._keep(key, self._every_s)) for key in self._sources]

    def found_stale(self, tenant: str, sources: Sequence[str]) -> None:
        """Somebody's passages are of these: sync those that are configured, if that is wanted."""
        for name in sources:
            if self._syncs_when_stale and (tenant, name) in self._sources:
                self._begin((tenant, name))

    def begin(self, tenant: str, source: str) -> None:
        """Sync a source now, unless that is being done.

        Raises:
            NotFound: the configuration has no such source for this tenant.
        """
        if (tenant, source) not in self._sources:
            known = ", ".join(sorted(name for whose, name in self._sources if whose == tenant)) or "none"
            raise NotFound(f"no source {source!r} is configured for this tenant; there are: {known}")
        self._begin((tenant, source))

    async def settle(self) -> None:
        """Wait for the syncs under way."""
        await asyncio.gather(*self._syncing.values(), return_exceptions=True)

    async def close(self) -> None:
        tasks = [*self._keeping, *self._syncing.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, key: tuple[str, str]) -> None:
        if key not in self._syncing:
            task = self._syncing[key] = asyncio.create_task(self._sync(self._sources[key]))
            task.add_done_callback(lambda _: self._syncing.pop(key, None))

    async def _keep(self, key: tuple[str, str], every_s: float) -> None:
        while True:
            if not await self._is_done_elsewhere(key, every_s):
                self._begin(key)
            await self._sleep(every_s)

    async def _is_done_elsewhere(self, key: tuple[str, str], every_s: float) -> bool:
        """Whether another replica has looked at it in the meantime."""
        tenant, name = key
        try:
            status = await self._knowledge.status(background(tenant))
        except MantaError as exc:
            logger.warning("%s: whether it is current is not known: %s", name, exc)
            return False
        looks = [one.checked_at for one in status.standings if one.source == name and one.checked_at]
        now = self._now()
        return any((now - datetime.fromisoformat(one)).total_seconds() < every_s / 2 for one in looks)

    async def _sync(self, config: SourceConfig) -> None:
        try:
            async with self._knowledge.syncing(config.tenant, config.name, Deadline.after(_LEASE_WAIT_S)):
                report = await self._run(config)
        except MantaError as exc:
            logger.warning("%s was not synced: %s", config.name, exc)
            return
        if report is not None:
            logger.info(
                "%s: %d added, %d changed, %d removed, %d failed",
                config.name, report.num_added, report.num_changed, report.num_removed, len(report.failed),
            )  # fmt: skip

    async def _run(self, config: SourceConfig) -> SyncReport | None:
        """What was done; None if it broke off, which is noted."""
        limits = Limits(self._max_bytes, config.max_removed_share)
        target = LocalBase(self._knowledge, config.tenant)
        try:
            source = self._open(config)
            try:
                return await sync_source(source, target, limits, metadata=dict(config.metadata))
            finally:
                await source.close()
        except MantaError as exc:
            logger.warning("%s: the sync broke off: %s", config.name, exc)
            await self._knowledge.sync_failed(config.name, exc.message, background(config.tenant))
            return None


def background(tenant: str) -> RequestContext:
    """The context of work that nobody waits for."""
    return RequestContext("upkeep", tenant, Deadline.after(_STEP_TIMEOUT_S), Priority.BATCH)
