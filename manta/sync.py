"""Sources of this machine's user, brought into a base over its API.

The server compares what sources call their documents' states and says what it wants; a document that
did not change is never sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from manta.client import MantaClient
from serve_app.identity.exposure import is_loopback
from serve_app.messages import DocumentInput, DocumentOutcome, DocumentStatus, SyncPlan
from serve_app.retrieval.sources.base import Source
from serve_app.retrieval.sources.open import named
from serve_app.retrieval.sources.syncing import Limits, SyncReport, sync_source

# The default of `knowledge.max_document_bytes`; a server with a lower limit says so, document by document.
MAX_DOCUMENT_BYTES = 32 * 1024 * 1024
LIMITS = Limits(MAX_DOCUMENT_BYTES)


@dataclass(frozen=True, slots=True)
class RemoteBase:
    """A Target behind a server's API."""

    client: MantaClient

    async def plan(self, source: str, states: Mapping[str, str]) -> SyncPlan:
        planned = await asyncio.to_thread(self.client.plan_sync, source, states)
        return SyncPlan(
            upload=tuple(planned["upload"]),
            num_unchanged=planned["num_unchanged"],
            gone=tuple(planned["gone"]),
            num_known=planned.get("num_known", 0),
            known=planned.get("known", {}),
        )

    async def put(self, source: str, documents: Sequence[DocumentInput]) -> Sequence[DocumentOutcome]:
        found = await asyncio.to_thread(self.client.put_documents, source, documents)
        return [
            DocumentOutcome(
                path=one["path"],
                status=DocumentStatus(one["status"]),
                document_id=one.get("document_id", ""),
                num_chunks=one.get("num_chunks", 0),
                num_embedded=one.get("num_embedded", 0),
                reason=one.get("reason", ""),
            )
            for one in found
        ]

    async def delete(self, document_ids: Sequence[str]) -> int:
        return await asyncio.to_thread(self.client.delete_documents, document_ids)


@dataclass(frozen=True, slots=True)
class Watched:
    """Who is told how far a sync is."""

    listed: Callable[[int], None] = field(default=lambda num: None)  # once: how many documents there are
    advance: Callable[[int], None] = field(default=lambda num: None)  # how many more are done with


def collect(
    places: Sequence[str | Path], source: str | None = None, url: str = "", **options: object
) -> list[Source]:
    """The sources that were named: see `named`. Files tell where they are only to a server on this machine.

    Raises:
        BadRequest: a place is not there.
    """
    is_here = is_loopback(urlsplit(url).hostname or "localhost")
    return named([str(one) for one in places], source, MAX_DOCUMENT_BYTES, tells_uris=is_here, **options)


def sync(
    client: MantaClient,
    source: Source,
    limits: Limits = LIMITS,
    metadata: Mapping[str, str] | None = None,
    watched: Watched = Watched(),  # noqa: B008 (frozen)
) -> SyncReport:
    """Bring one source up to date. Raises as `sync_source`."""

    async def run() -> SyncReport:
        try:
            return await sync_source(
                source,
                RemoteBase(client),
                limits,
                metadata=metadata,
                listed=watched.listed,
                advance=watched.advance,
            )
        finally:
            await source.close()

    return asyncio.run(run())
