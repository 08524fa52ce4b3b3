"""Configured sources, kept current in the background."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from configs.schema import CurrencyConfig, FolderSource
from serve_app.errors import NotFound
from serve_app.messages import RequestContext, Standing
from serve_app.retrieval.sources.base import SourceUnavailable
from serve_app.retrieval.upkeep import Upkeep

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)  # of the world's own clock


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "docs"
    made.mkdir()
    (made / "a.txt").write_text("rays glide over reefs")
    return made


class Ticks:
    """A clock whose sleepers wake when they are told to."""

    def __init__(self) -> None:
        self.waiting = asyncio.Event()
        self.go = asyncio.Event()

    async def __call__(self, seconds: float) -> None:
        self.waiting.set()
        await self.go.wait()
        self.go.clear()


def configured(world: Any, folder: Path, **currency: Any) -> Any:
    source = FolderSource(kind="folder", name="docs", path=str(folder))
    return world.config.model_copy(update={"sources": (source,), "currency": CurrencyConfig(**currency)})


@pytest.fixture
async def upkeep(world: Any, folder: Path) -> AsyncIterator[Upkeep]:
    world.config = configured(world, folder)
    made = Upkeep(world.open(), world.config, folder.parent)
    yield made
    await made.close()


async def standing(world: Any, context: RequestContext) -> Any:
    return (await world.open().status(context)).standings[0]


async def test_on_request(world: Any, upkeep: Upkeep, context: RequestContext) -> None:
    upkeep.begin("default", "docs")
    upkeep.begin("default", "docs")  # which is being done
    await upkeep.settle()
    found = await standing(world, context)
    assert (found.standing, found.num_documents) == (Standing.FRESH, 1)
    for tenant, name in (("default", "other"), ("acme", "docs")):
        with pytest.raises(NotFound, match="there are"):
            upkeep.begin(tenant, name)


async def test_a_sync_that_breaks_off_is_noted(world: Any, folder: Path, context: RequestContext) -> None:
    world.config = configured(world, folder)

    def gone(config: Any) -> Any:
        raise SourceUnavailable("the mount is gone")

    upkeep = Upkeep(world.open(), world.config, folder, open_one=gone)
    upkeep.begin("default", "docs")
    await upkeep.settle()
    found = await standing(world, context)
    assert (found.standing, found.reason) == (Standing.FAILING, "the mount is gone")


async def test_a_stale_source_is_synced_where_that_is_wanted(
    world: Any, folder: Path, context: RequestContext
) -> None:
    for wanted, expected in ((False, 0), (True, 1)):
        world.config = configured(world, folder, sync_when_stale=wanted)
        upkeep = Upkeep(world.open(), world.config, folder)
        upkeep.found_stale("default", ("docs", "unknown"))
        await upkeep.settle()
        assert (await world.open().status(context)).num_documents == expected
        await upkeep.close()


@pytest.mark.parametrize(("seconds", "num_documents"), [(60, 1), (3600, 2)])
async def test_by_the_clock(
    world: Any, folder: Path, context: RequestContext, seconds: float, num_documents: int
) -> None:
    """At each tick, unless somebody has looked a moment ago: another replica, say."""
    world.config = configured(world, folder, sync_every_s=3600)
    ticks = Ticks()
    later = NOW + timedelta(seconds=seconds)
    upkeep = Upkeep(world.open(), world.config, folder, sleep=ticks, now=lambda: later)
    upkeep.start()
    await ticks.waiting.wait()
    await upkeep.settle()
    assert (await world.open().status(context)).num_documents == 1

    (folder / "b.txt").write_text("more")
    ticks.waiting.clear()
    ticks.go.set()
    await ticks.waiting.wait()
    await upkeep.settle()
    assert (await world.open().status(context)).num_documents == num_documents
    await upkeep.close()
    assert not upkeep._syncing


async def test_another_replica_at_it_is_left_alone(
    world: Any, upkeep: Upkeep, context: RequestContext
) -> None:
    from contextlib import asynccontextmanager

    from serve_app.errors import Unavailable

    @asynccontextmanager
    async def busy(*args: Any) -> AsyncIterator[None]:
        raise Unavailable("another replica")
        yield

    upkeep._knowledge.syncing = busy  # type: ignore[method-assign]
    upkeep.begin("default", "docs")
    await upkeep.settle()
    assert (await world.open().status(context)).num_documents == 0
