"""What every store of API keys does. Redis is a real one; without redis-server here, its tests are skipped."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from configs.schema import RedisConfig
from serve_app.errors import Unavailable
from serve_app.identity.base import KeyStore, Role, all_records
from serve_app.identity.embedded_keys import EmbeddedKeyStore
from serve_app.identity.keys import NewKey, make_key
from serve_app.identity.redis_keys import RedisKeyStore
from serve_app.redis_client import open_redis


def made(name: str = "x", at_s: float = 1.0) -> NewKey:
    return make_key(name, "team-a", Role.USER, at_s)


@pytest.fixture(params=["embedded", "redis"])
async def stores(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[KeyStore, KeyStore]]:
    """The same store, as two processes open it."""
    if request.param == "embedded":
        path = tmp_path / "deep" / "keys.sqlite3"
        yield EmbeddedKeyStore(path), EmbeddedKeyStore(path)
        return
    config = RedisConfig(url=request.getfixturevalue("redis_url"), prefix=f"keys-{tmp_path.name}")
    both = [RedisKeyStore(open_redis(config), config.prefix) for _ in range(2)]
    yield both[0], both[1]
    for store in both:
        await store.close()


async def test_what_one_puts_the_other_finds(stores: tuple[KeyStore, KeyStore]) -> None:
    here, there = stores
    first, second = made("a", 1.0).record, made("b", 2.0).record
    await here.put(second)
    await there.put(first)
    assert await all_records(here) == [first, second]
    assert await all_records(there) == [first, second]


async def test_changes_are_told_once(stores: tuple[KeyStore, KeyStore]) -> None:
    here, there = stores
    assert (await here.changes(0)).records == ()
    first, second = made().record, made().record
    await here.put(first)
    known = await there.changes(0)
    assert known.records == (first,)
    await here.put(second)
    revoked = replace(first, revoked_at_s=9.0)
    await here.put(replace(first, revoked_at_s=8.0))
    await here.put(revoked)
    news = await there.changes(known.generation)
    assert set(news.records) == {second, revoked}
    assert len(news.records) == 2
    assert (await there.changes(news.generation)) == replace(news, records=())


async def test_writers_do_not_lose_each_others_keys(stores: tuple[KeyStore, KeyStore]) -> None:
    records = [made(str(number)).record for number in range(20)]
    await asyncio.gather(*(stores[number % 2].put(record) for number, record in enumerate(records)))
    assert {record.id for record in await all_records(stores[0])} == {record.id for record in records}


async def test_no_secret_is_stored(stores: tuple[KeyStore, KeyStore], tmp_path: Path) -> None:
    one = made()
    await stores[0].put(one.record)
    secret = one.key.split("_")[2]
    for file in tmp_path.rglob("*.sqlite3"):
        assert secret.encode() not in file.read_bytes()
        assert file.stat().st_mode & 0o077 == 0
    assert secret not in repr(await stores[1].changes(0))


async def test_a_file_that_is_none_of_ours_is_named(tmp_path: Path) -> None:
    path = tmp_path / "keys.sqlite3"
    path.write_bytes(b"no database" * 100)
    with pytest.raises(Unavailable, match="keys' file"):
        await EmbeddedKeyStore(path).changes(0)


def test_a_writer_that_is_killed_leaves_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "keys.sqlite3"
    store = EmbeddedKeyStore(path)
    before = made("before").record
    asyncio.run(store.put(before))
    script = (
        "import os, sqlite3, sys; database = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "database.execute('BEGIN IMMEDIATE');"
        "database.execute(\"INSERT INTO keys VALUES ('torn', 99, 'half')\");"
        "database.execute('PRAGMA cache_spill = 1'); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert done.returncode == -9
    after = made("after", 2.0).record
    asyncio.run(store.put(after))
    assert asyncio.run(all_records(store)) == [before, after]


async def test_a_record_of_somebody_elses_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "keys.sqlite3"
    store = EmbeddedKeyStore(path)
    await store.put(made().record)
    database = sqlite3.connect(path)
    with database:
        database.execute("INSERT INTO keys VALUES ('x', 99, '{}')")
    database.close()
    with pytest.raises(Unavailable, match="none of ours"):
        await store.changes(0)


async def test_a_redis_that_is_gone_is_unavailable(free_port: Callable[[], int]) -> None:
    store = RedisKeyStore(open_redis(RedisConfig(url=f"redis://127.0.0.1:{free_port()}/0")), "manta")
    with pytest.raises(Unavailable, match="does not answer"):
        await store.changes(0)
    with pytest.raises(Unavailable, match="does not answer"):
        await store.put(made().record)
    await store.close()
