from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from serve_app.messages import DocumentInput, DocumentOutcome, RequestContext, SyncPlan
from serve_app.retrieval.sources.base import (
    MODIFIED_AT,
    Content,
    ObjectUnreadable,
    SourceObject,
    SourceUnavailable,
    too_large,
)
from serve_app.retrieval.sources.syncing import Limits, SyncReport, WouldRemove, sync_source

LIMITS = Limits(max_document_bytes=1000)


@dataclass
class Shelf:
    """A source in memory, by ETags that change with the text; it can break while it is listed or read."""

    texts: dict[str, str]
    name: str = "shelf"
    is_whole: bool = True
    max_concurrent_reads: int = 2
    num_skipped: int = 0
    tells_versions: bool = True
    breaks_after: int | None = None  # objects of a listing
    gone: set[str] = field(default_factory=set)  # between listing and reading
    is_down: bool = False
    num_reads: int = 0
    num_sent: int = 0  # reads that were no "unchanged"
    salt: str = ""  # of the ETags

    async def objects(self) -> AsyncIterator[SourceObject]:
        for number, (path, text) in enumerate(self.texts.items()):
            if number == self.breaks_after:
                raise SourceUnavailable(f"the source {self.name} cannot be listed: it broke off")
            version = self._version(text) if self.tells_versions else None
            yield SourceObject(path, path, version, len(text), {MODIFIED_AT: "2026-01-01"})

    async def read(self, wanted: SourceObject, max_bytes: int, known_version: str = "") -> Content | None:
        self.num_reads += 1
        if self.is_down:
            raise SourceUnavailable("the source went away")
        if wanted.path in self.gone:
            raise ObjectUnreadable("it is gone since it was listed")
        text = self.texts[wanted.path]
        if len(text) > max_bytes:
            raise too_large(len(text), max_bytes)
        if known_version == self._version(text):
            return None
        self.num_sent += 1
        return Content(text.encode(), self._version(text), metadata=wanted.metadata)

    async def close(self) -> None:
        pass

    def _version(self, text: str) -> str:
        return f"etag:{self.salt}{hash(text)}"


class Base:
    """The knowledge base in this process as a Target."""

    def __init__(self, world: Any, context: RequestContext) -> None:
        self._base = world.open()
        self._context = context

    async def plan(self, source: str, states: Mapping[str, str]) -> SyncPlan:
        plan: SyncPlan = await self._base.plan_sync(source, states, self._context)
        return plan

    async def put(self, source: str, documents: Sequence[DocumentInput]) -> Sequence[DocumentOutcome]:
        outcomes: tuple[DocumentOutcome, ...] = await self._base.put_documents(
            source, documents, self._context
        )
        return outcomes

    async def delete(self, document_ids: Sequence[str]) -> int:
        num: int = await self._base.delete_documents(document_ids, self._context)
        return num

    async def paths(self) -> list[str]:
        return sorted(one.path for one in await self._base.list_documents(self._context))


@pytest.fixture
def base(world, context) -> Base:
    return Base(world, context)


def shelf(num: int = 4, **options: Any) -> Shelf:
    return Shelf({f"n{index}.md": f"Text number {index}." for index in range(num)}, **options)


async def test_what_did_not_change_is_neither_read_nor_sent(base, world) -> None:
    source = shelf()
    first = await sync_source(source, base, LIMITS)
    assert (first.num_added, first.num_embedded, first.failed) == (4, 4, ())
    source.num_reads = 0
    assert await sync_source(source, base, LIMITS) == SyncReport(num_unchanged=4)
    assert source.num_reads == 0
    source.texts["n1.md"] = "Another text."
    again = await sync_source(source, base, LIMITS)
    assert (again.num_changed, again.num_unchanged, source.num_reads) == (1, 3, 1)
    assert world.embedder.num_passages == 5


async def test_where_no_version_is_listed_each_is_asked_for_with_the_last_one(base, world) -> None:
    source = shelf(tells_versions=False)
    await sync_source(source, base, LIMITS)
    source.texts["n2.md"] = "Another text."
    source.num_reads = source.num_sent = 0
    report = await sync_source(source, base, LIMITS)
    assert (report.num_changed, report.num_unchanged) == (1, 3)
    assert (source.num_reads, source.num_sent) == (4, 1)


async def test_the_same_bytes_under_another_version_are_remembered_and_nothing_is_made(base, world) -> None:
    source = shelf()
    await sync_source(source, base, LIMITS)
    source.salt = "new"
    num_embedded, num_chunks = world.embedder.num_passages, await world.store.count("default")
    assert (await sync_source(source, base, LIMITS)).num_unchanged == 4
    assert source.num_reads == 8
    assert (await sync_source(source, base, LIMITS)).num_unchanged == 4
    assert source.num_reads == 8  # the new versions are known now
    assert (world.embedder.num_passages, await world.store.count("default")) == (num_embedded, num_chunks)


async def test_a_listing_that_breaks_off_changes_nothing(base) -> None:
    await sync_source(shelf(), base, LIMITS)
    with pytest.raises(SourceUnavailable, match="broke off"):
        await sync_source(shelf(breaks_after=1), base, LIMITS)
    assert await base.paths() == ["n0.md", "n1.md", "n2.md", "n3.md"]


async def test_a_source_that_vanishes_while_it_is_read_removes_nothing(base) -> None:
    source = shelf()
    await sync_source(source, base, LIMITS)
    del source.texts["n0.md"]
    source.texts["n9.md"] = "New."
    source.is_down = True
    with pytest.raises(SourceUnavailable, match="went away"):
        await sync_source(source, base, LIMITS)
    assert "n0.md" in await base.paths()


async def test_one_that_is_gone_between_listing_and_reading_fails_alone(base) -> None:
    source = shelf(gone={"n1.md"})
    report = await sync_source(source, base, LIMITS)
    assert report.failed == (("n1.md", "it is gone since it was listed"),)
    assert report.num_added == 3


@pytest.mark.parametrize(
    ("num_before", "num_after", "share", "stops"),
    [
        (4, 1, 0.5, True),
        (4, 2, 0.5, False),
        (4, 2, 0.4, True),
        (2, 1, 0.0, False),
        (1, 0, 1.0, True),
        (9, 1, 1.0, False),
    ],
)
async def test_how_much_may_go(base, num_before: int, num_after: int, share: float, stops: bool) -> None:
    await sync_source(shelf(num_before), base, LIMITS)
    limits = Limits(1000, max_removed_share=share)
    if stops:
        with pytest.raises(WouldRemove, match="allow"):
            await sync_source(shelf(num_after), base, limits)
    else:
        assert (await sync_source(shelf(num_after), base, limits)).num_removed == num_before - num_after
    assert len(await base.paths()) == (num_before if stops else num_after)


async def test_all_may_go_where_it_is_meant(base) -> None:
    await sync_source(shelf(), base, LIMITS)
    report = await sync_source(shelf(0), base, Limits(1000, allow_empty=True))
    assert (report.num_removed, await base.paths()) == (4, [])


async def test_names_that_cannot_be_kept_and_texts_above_the_limit_are_reported(base) -> None:
    source = Shelf({"\udcff.md": "x", "a" * 2000 + ".md": "x", "big.md": "x" * 1001, "good.md": "text"})
    told: list[int] = []
    report = await sync_source(source, base, LIMITS, listed=told.append, advance=told.append)
    assert [reason for _, reason in report.failed] == [
        "its name is not valid Unicode",
        "its name has more than 1,024 characters",
        "it has 1,001 bytes; the limit is 1,000",
    ]
    assert (report.num_added, await base.paths()) == (1, ["good.md"])
    assert told == [4, 2, 2]


async def test_the_sources_metadata_go_with_every_document(base, world, context) -> None:
    await sync_source(shelf(1), base, LIMITS, metadata={"team": "sea"})
    (found,) = await world.open().list_documents(context)
    assert dict(found.metadata) == {MODIFIED_AT: "2026-01-01", "team": "sea"}
    assert found.version.startswith("etag:")
