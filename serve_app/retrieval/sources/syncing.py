"""Brings one source into a base: lists it, asks what of it is wanted, reads and sends that, removes what is gone.

The same for a client and inside the server: `Target` is the base as either sees it. Nothing is changed
before the source is listed whole and the plan is found harmless, and one document's fault never stops
the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from serve_app.errors import Conflict
from serve_app.messages import DocumentInput, DocumentOutcome, DocumentStatus, SyncPlan
from serve_app.retrieval import identity
from serve_app.retrieval.sources.base import Content, ObjectUnreadable, Source, SourceObject

T = TypeVar("T")

MAX_BATCH_BYTES = 8 * 1024 * 1024
MAX_BATCH_DOCUMENTS = 64
_UNKNOWN_BYTES = 1024 * 1024  # what an object counts for whose size nobody has said
_MAX_PATH_CHARS = 1024  # the API's own limit


class WouldRemove(Conflict):
    """The sync would remove so much that it may be a mistake. Nothing was changed."""


class Target(Protocol):
    """One tenant's base. Raises MantaError where it cannot do as asked."""

    async def plan(self, source: str, states: Mapping[str, str]) -> SyncPlan: ...

    async def put(self, source: str, documents: Sequence[DocumentInput]) -> Sequence[DocumentOutcome]: ...

    async def delete(self, document_ids: Sequence[str]) -> int: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """What a sync may do."""

    max_document_bytes: int
    max_removed_share: float = 0.5  # of the source's documents
    allow_empty: bool = False  # let a source without any documents remove all of them


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What a sync did, in documents and chunks."""

    num_added: int = 0
    num_changed: int = 0
    num_unchanged: int = 0
    num_removed: int = 0
    num_skipped: int = 0
    num_chunks: int = 0  # of added and changed documents
    num_embedded: int = 0  # chunks whose text was not known before
    failed: tuple[tuple[str, str], ...] = field(default=())  # path, reason

    def __add__(self, other: SyncReport) -> SyncReport:
        return SyncReport(
            self.num_added + other.num_added,
            self.num_changed + other.num_changed,
            self.num_unchanged + other.num_unchanged,
            self.num_removed + other.num_removed,
            self.num_skipped + other.num_skipped,
            self.num_chunks + other.num_chunks,
            self.num_embedded + other.num_embedded,
            self.failed + other.failed,
        )

    @classmethod
    def of(cls, outcomes: Sequence[DocumentOutcome]) -> SyncReport:
        statuses = [outcome.status for outcome in outcomes]
        failures = [one for one in outcomes if one.status is DocumentStatus.FAILED]
        return cls(
            num_added=statuses.count(DocumentStatus.ADDED),
            num_changed=statuses.count(DocumentStatus.CHANGED),
            num_unchanged=statuses.count(DocumentStatus.UNCHANGED),
            num_chunks=sum(one.num_chunks for one in outcomes if one.status is not DocumentStatus.UNCHANGED),
            num_embedded=sum(one.num_embedded for one in outcomes),
            failed=tuple((one.path, one.reason) for one in failures),
        )


async def sync_source(
    source: Source,
    target: Target,
    limits: Limits,
    *,
    metadata: Mapping[str, str] | None = None,
    listed: Callable[[int], None] = lambda num: None,
    advance: Callable[[int], None] = lambda num: None,
) -> SyncReport:
    """Bring the source up to date.

    Args:
        source: where the documents are.
        target: where they go.
        limits: of sizes, and of what may be removed.
        metadata: kept with every document, beside what the source says of it.
        listed: is told once how many documents there are.
        advance: is told of documents that are done with.

    Raises:
        SourceUnavailable: the source cannot be listed; nothing was changed.
        WouldRemove: too much would be gone; nothing was changed.
    """
    objects, report = await listing(source)
    listed(len(objects) + len(report.failed))
    plan = await target.plan(source.name, {path: one.version or "" for path, one in objects.items()})
    gone = plan.gone if source.is_whole else ()
    check_removal(source.name, len(gone), plan.num_known, len(objects), limits)
    advance(plan.num_unchanged + len(report.failed))
    report += SyncReport(num_unchanged=plan.num_unchanged, num_skipped=source.num_skipped)
    wanted = [objects[path] for path in plan.upload]
    reading = _read_ahead(source, wanted, plan.known, limits.max_document_bytes, dict(metadata or {}))
    async with aclosing(reading) as batches:
        async for batch in batches:
            report += batch.report
            for documents in _in_requests(batch.documents):
                report += SyncReport.of(await target.put(source.name, documents))
            advance(batch.num_objects)
    if gone:
        report += SyncReport(num_removed=await target.delete(gone))
    return report


def check_removal(source: str, num_gone: int, num_known: int, num_listed: int, limits: Limits) -> None:
    """Return if so many documents of so many may go.

    A single one always may, unless it is the last: somebody deleted a file.

    Raises:
        WouldRemove: they may not; the message says how to allow it.
    """
    if not num_gone:
        return
    if not num_listed and not limits.allow_empty:
        raise WouldRemove(
            f"{source}: the source has no documents, which would remove all {num_gone} that the base has of it; "
            "say --allow-empty if that is meant"
        )
    share = num_gone / max(num_known, num_gone)
    if num_listed and num_gone > 1 and share > limits.max_removed_share:
        raise WouldRemove(
            f"{source}: {num_gone} of {max(num_known, num_gone)} documents are no longer there; a sync removes at most "
            f"{limits.max_removed_share:.0%} of a source; allow it with --max-removed-share {share:.2f}, "
            "or max_removed_share of the source in the profile"
        )


@dataclass(slots=True)
class _Batch:
    """What was read together, and what could not be."""

    num_objects: int
    documents: list[DocumentInput]
    report: SyncReport


async def listing(source: Source) -> tuple[dict[str, SourceObject], SyncReport]:
    """path -> object, and those whose names the base cannot keep."""
    objects: dict[str, SourceObject] = {}
    failed: list[tuple[str, str]] = []
    async for one in source.objects():
        if not identity.is_unicode(one.path):
            shown = one.path.encode(errors="backslashreplace").decode()
            failed.append((shown, "its name is not valid Unicode"))
        elif len(one.path) > _MAX_PATH_CHARS:
            failed.append((one.path, f"its name has more than {_MAX_PATH_CHARS:,} characters"))
        elif one.path in objects:
            failed.append((one.path, "the source names it twice; the first one was taken"))
        else:
            objects[one.path] = one
    return objects, SyncReport(failed=tuple(failed))


async def _read_ahead(
    source: Source,
    wanted: Sequence[SourceObject],
    known: Mapping[str, str],
    max_bytes: int,
    metadata: dict[str, str],
) -> AsyncGenerator[_Batch]:
    """Batches, the next of which is read while the base works on the one before."""
    places = asyncio.Semaphore(source.max_concurrent_reads)

    async def read(one: SourceObject) -> Content | ObjectUnreadable | None:
        async with places:
            try:
                return await source.read(one, max_bytes, known.get(one.path, ""))
            except ObjectUnreadable as exc:
                return exc

    async def read_all(objects: Sequence[SourceObject]) -> _Batch:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(read(one)) for one in objects]
        return _sorted_out(objects, [task.result() for task in tasks], metadata)

    following: asyncio.Task[_Batch] | None = None
    try:
        for objects in batches(wanted):
            current, following = following, asyncio.create_task(read_all(objects))
            if current is not None:
                yield await _unwrapped(current)
        if following is not None:
            yield await _unwrapped(following)
    finally:
        if following is not None:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


async def _unwrapped(task: asyncio.Task[_Batch]) -> _Batch:
    """The task's result; a group of one source's faults is the first of them."""
    try:
        return await task
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from group


def _sorted_out(
    objects: Sequence[SourceObject],
    results: Sequence[Content | ObjectUnreadable | None],
    metadata: Mapping[str, str],
) -> _Batch:
    batch = _Batch(len(objects), [], SyncReport())
    failed: list[tuple[str, str]] = []
    for one, result in zip(objects, results, strict=True):
        if result is None:
            batch.report += SyncReport(num_unchanged=1)
        elif isinstance(result, ObjectUnreadable):
            failed.append((one.path, str(result)))
        else:
            described = {**result.metadata, **metadata}
            batch.documents.append(
                DocumentInput(one.path, result.data, result.media_type, described, result.version)
            )
    batch.report += SyncReport(failed=tuple(failed))
    return batch


def batches(objects: Sequence[SourceObject]) -> Iterator[list[SourceObject]]:
    """The objects in order, so many at a time that they fit into memory, as far as their sizes are known."""
    return _split(objects, lambda one: _UNKNOWN_BYTES if one.num_bytes is None else one.num_bytes)


def _in_requests(documents: Sequence[DocumentInput]) -> Iterator[list[DocumentInput]]:
    """The documents in order, so many at a time that they fit into one request."""
    return _split(documents, lambda one: len(one.content))


def _split(things: Sequence[T], size_of: Callable[[T], int]) -> Iterator[list[T]]:
    batch: list[T] = []
    num_bytes = 0
    for one in things:
        size = size_of(one)
        if batch and (num_bytes + size > MAX_BATCH_BYTES or len(batch) == MAX_BATCH_DOCUMENTS):
            yield batch
            batch, num_bytes = [], 0
        batch.append(one)
        num_bytes += size
    if batch:
        yield batch
