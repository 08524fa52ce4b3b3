"""What every store of sessions does. Redis is a real one; without redis-server here, its tests are skipped."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from configs.schema import RedisConfig
from serve_app.errors import Conflict, DeadlineExceeded, StorageFull, Unavailable
from serve_app.messages import Deadline, JsonObject, RequestContext
from serve_app.redis_client import open_redis
from serve_app.sessions.base import Session, SessionKey
from serve_app.sessions.embedded import EmbeddedRecords
from serve_app.sessions.memory import MemoryRecords
from serve_app.sessions.record import Limits
from serve_app.sessions.redis_records import RedisRecords
from serve_app.sessions.store import RecordedSessions, Records

LIMITS = Limits(max_messages=6, max_bytes=100_000, drops_unsummarised=True)
KEY = SessionKey("acme", "ann", "s1")


@dataclass
class Clock:
    now_s: float = 1_700_000_000.0

    def __call__(self) -> float:
        self.now_s += 0.001
        return self.now_s


@dataclass
class House:
    """The same records as two replicas open them."""

    records: list[Records]
    clock: Clock

    def store(self, at: int = 0, limits: Limits = LIMITS) -> RecordedSessions:
        return RecordedSessions(self.records[at], limits, self.clock)


@pytest.fixture(params=["memory", "embedded", "redis"])
async def house(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[House]:
    clock = Clock()
    records: list[Records]
    if request.param == "memory":
        one = MemoryRecords(60.0, 3, clock)
        records = [one, one]
    elif request.param == "embedded":
        path = tmp_path / "deep" / "sessions.sqlite3"
        records = [EmbeddedRecords(path, 60.0, 3, clock) for _ in range(2)]
    else:
        config = RedisConfig(
            url=request.getfixturevalue("redis_url"), prefix=f"s-{tmp_path.name[-40:]}", timeout_s=5
        )
        records = [RedisRecords(open_redis(config), config.prefix, 60.0, 3, clock) for _ in range(2)]
    yield House(records, clock)
    for one in records:
        await one.close()


def context(seconds: float = 60.0) -> RequestContext:
    return RequestContext("r", "acme", Deadline.after(seconds))


def turn(text: str) -> list[JsonObject]:
    return [
        {"role": "user", "content": text},
        {"role": "assistant", "content": f"about {text} \u00e9\x00{{}}"},
    ]


async def say(store: RecordedSessions, text: str, key: SessionKey = KEY) -> Session:
    return await store.append(key, turn(text), await store.load(key, context()), context())


async def test_what_one_writes_the_other_reads(house: House) -> None:
    here, there = house.store(0), house.store(1)
    assert await there.load(KEY, context()) == Session()
    written = await say(here, "a")
    assert await there.load(KEY, context()) == written
    assert written.version == 1
    assert list(written.turns) == turn("a")
    again = await say(there, "b")
    assert again.version == 2
    assert list((await here.load(KEY, context())).turns) == [*turn("a"), *turn("b")]


async def test_sessions_are_of_one_tenant_and_one_user(house: House) -> None:
    store = house.store()
    await say(store, "a")
    for other in (
        SessionKey("acme", "ann", "s2"),
        SessionKey("acme", "bob", "s1"),
        SessionKey("evil", "ann", "s1"),
        SessionKey("acme", "", "s1"),
        SessionKey("acmeann", "", "s1"),
    ):
        assert (await store.load(other, context())).version == 0
        assert not await store.delete(other, context())
    assert await store.sessions("acme", "bob", context()) == ()
    assert await store.sessions("evil", "ann", context()) == ()
    assert (await store.load(KEY, context())).version == 1


async def test_who_comes_second_is_told_and_writes_nothing(house: House) -> None:
    here, there = house.store(0), house.store(1)
    basis = await here.load(KEY, context())
    await here.append(KEY, turn("a"), basis, context())
    with pytest.raises(Conflict, match=r"s1.*ask again"):
        await there.append(KEY, turn("b"), basis, context())
    assert list((await there.load(KEY, context())).turns) == turn("a")


async def test_of_many_turns_at_once_one_is_kept(house: House) -> None:
    stores = [house.store(at % 2) for at in range(8)]
    basis = await say(stores[0], "first")
    tasks = (store.append(KEY, turn(str(at)), basis, context()) for at, store in enumerate(stores))
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(one, Session) for one in results) == 1
    assert sum(isinstance(one, Conflict) for one in results) == 7
    assert (await stores[0].load(KEY, context())).version == 2


async def test_a_session_that_was_deleted_meanwhile_is_another(house: House) -> None:
    store = house.store()
    old = await say(store, "a")
    assert await store.delete(KEY, context())
    with pytest.raises(Conflict):
        await store.append(KEY, turn("b"), old, context())
    new = await say(store, "c")
    assert new.version == old.version
    with pytest.raises(Conflict):
        await store.append(KEY, turn("b"), old, context())
    assert not await store.compact(KEY, old, 2, "of the deleted one", context())
    assert (await store.load(KEY, context())).summary == ""


async def test_a_summary_stands_for_the_first_turns_and_loses_none(house: House) -> None:
    here, there = house.store(0), house.store(1)
    await say(here, "a")
    basis = await say(here, "b")
    meanwhile = await say(there, "c")
    assert await here.compact(KEY, basis, 2, "a was said", context())
    found = await there.load(KEY, context())
    assert (found.summary, found.num_summarised, found.version) == ("a was said", 2, 3)
    assert found.turns == meanwhile.turns
    assert list(found.recent()) == [*turn("b"), *turn("c")]
    # Neither is the turn in conflict that began before the summary, ...
    after = await there.append(KEY, turn("d"), meanwhile, context())
    assert after.version == 4
    assert after.summary == "a was said"
    # ... nor does a second summary of the same turns count.
    assert not await there.compact(KEY, basis, 4, "twice", context())


async def test_a_summary_and_turns_at_once_both_count(house: House) -> None:
    here, there = house.store(0), house.store(1)
    basis = await say(here, "a")
    done, session = await asyncio.gather(
        here.compact(KEY, basis, 2, "short", context()), there.append(KEY, turn("b"), basis, context())
    )
    assert done
    assert session.version == 2
    found = await here.load(KEY, context())
    assert (found.summary, found.version, len(found.turns)) == ("short", 2, 4)


async def test_the_oldest_turns_go_and_are_counted(house: House) -> None:
    store = house.store()
    for text in "abcd":
        session = await say(store, text)
    assert list(session.turns) == [*turn("b"), *turn("c"), *turn("d")]
    assert session.num_dropped == 2
    assert [info.num_messages for info in await store.sessions("acme", "ann", context())] == [8]


async def test_turns_without_a_summary_stay_where_there_are_summaries(house: House) -> None:
    store = house.store(limits=Limits(4, 100_000, drops_unsummarised=False))
    await say(store, "a")
    full = await say(store, "b")
    with pytest.raises(StorageFull, match="begin another"):
        await store.append(KEY, turn("c"), full, context())
    assert await store.compact(KEY, full, 2, "a was said", context())
    session = await say(store, "c")
    assert list(session.turns) == [*turn("b"), *turn("c")]
    assert (session.summary, session.num_summarised, session.num_dropped) == ("a was said", 0, 2)
    assert list(session.recent()) == list(session.turns)
    # What a summary stood for is gone by now: another one goes on from there.
    assert await store.compact(KEY, session, 2, "a and b were said", context())
    assert list((await store.load(KEY, context())).recent()) == turn("c")


async def test_a_session_has_so_many_bytes(house: House) -> None:
    store = house.store(limits=Limits(100, 2000, drops_unsummarised=True))
    for text in "abcde":
        session = await say(store, text * 300)
    assert 0 < len(session.turns) < 10
    assert session.turns[0]["role"] == "user"
    with pytest.raises(StorageFull, match="2000 bytes"):
        await store.append(KEY, turn("x" * 2000), session, context())
    assert await store.load(KEY, context()) == session


async def test_listed_newest_first_and_the_oldest_of_too_many_goes(house: House) -> None:
    store = house.store()
    for name in ("s1", "s2", "s1", "s3", "s4"):
        await say(store, "x", SessionKey("acme", "ann", name))
        house.clock.now_s += 1
    await say(store, "x", SessionKey("acme", "bob", "s1"))
    found = await house.store(1).sessions("acme", "ann", context())
    assert [info.session_id for info in found] == ["s4", "s3", "s1"]
    assert (await store.load(SessionKey("acme", "ann", "s2"), context())).version == 0
    assert await store.delete(SessionKey("acme", "ann", "s3"), context())
    assert not await store.delete(SessionKey("acme", "ann", "s3"), context())
    found = await store.sessions("acme", "ann", context())
    assert [info.session_id for info in found] == ["s4", "s1"]


@pytest.mark.parametrize("house", ["memory", "embedded"], indirect=True)
async def test_sessions_are_forgotten_after_their_time(house: House) -> None:
    store = house.store()
    await say(store, "a")
    house.clock.now_s += 50
    session = await say(store, "b")
    house.clock.now_s += 50
    assert await store.load(KEY, context()) == session
    house.clock.now_s += 11
    assert await store.load(KEY, context()) == Session()
    assert await store.sessions("acme", "ann", context()) == ()
    assert not await store.delete(KEY, context())
    assert (await say(store, "c")).version == 1


async def test_redis_forgets_by_its_own_clock(redis_url: str, tmp_path: Path) -> None:
    config = RedisConfig(url=redis_url, prefix=f"t-{tmp_path.name[-40:]}", timeout_s=5)
    redis = open_redis(config)
    store = RecordedSessions(RedisRecords(redis, config.prefix, 3600.0, 3), LIMITS)
    await say(store, "a")
    names = [name async for name in redis.scan_iter(f"*{config.prefix}*")]
    assert len(names) == 2
    for name in names:
        assert 3_000_000 < await redis.pttl(name) <= 3_600_000
    await redis.delete(*names)
    assert await store.load(KEY, context()) == Session()
    await store.close()


async def test_a_deadline_in_the_past_does_nothing(house: House) -> None:
    store = house.store()
    with pytest.raises(DeadlineExceeded):
        await store.append(KEY, turn("a"), Session(), context(-1))
    with pytest.raises(DeadlineExceeded):
        await store.load(KEY, context(-1))
    assert (await store.load(KEY, context())).version == 0


async def test_a_redis_that_is_gone_is_unavailable(free_port: Callable[[], int]) -> None:
    redis = open_redis(RedisConfig(url=f"redis://127.0.0.1:{free_port()}/0"))
    store = RecordedSessions(RedisRecords(redis, "manta", 60.0, 3), LIMITS)
    with pytest.raises(Unavailable, match="does not answer"):
        await store.load(KEY, context())
    with pytest.raises(Unavailable, match="does not answer"):
        await store.append(KEY, turn("a"), Session(), context())
    with pytest.raises(Unavailable, match="does not answer"):
        await store.sessions("acme", "ann", context())
    with pytest.raises(Unavailable, match="does not answer"):
        await store.delete(KEY, context())
    await store.close()


async def test_a_file_that_is_none_of_ours_is_named_and_can_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "sessions.sqlite3"
    path.write_bytes(b"no database" * 100)
    records = EmbeddedRecords(path, 60.0, 3)
    store = RecordedSessions(records, LIMITS)
    with pytest.raises(Unavailable, match="sessions' file"):
        await store.load(KEY, context())
    path.unlink()
    assert (await say(store, "a")).version == 1
    await store.close()
    await store.close()
    with pytest.raises(Unavailable, match="closed"):
        await store.load(KEY, context())


async def test_a_record_of_somebody_elses_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "sessions.sqlite3"
    records = EmbeddedRecords(path, 60.0, 3)
    store = RecordedSessions(records, LIMITS)
    await say(store, "a")
    database = sqlite3.connect(path)
    with database:
        database.execute("UPDATE sessions SET document = '{}'")
    database.close()
    with pytest.raises(Unavailable, match="none of ours"):
        await store.load(KEY, context())
    await store.close()


async def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "sessions" / "sessions.sqlite3"
    records = EmbeddedRecords(path, 60.0, 3)
    await say(RecordedSessions(records, LIMITS), "a")
    assert [file.name for file in path.parent.iterdir() if file.stat().st_mode & 0o077] == []
    await records.close()


_WRITER = """
import asyncio, os, sys
from pathlib import Path
from serve_app.errors import Conflict
from serve_app.messages import Deadline, RequestContext
from serve_app.sessions.base import SessionKey
from serve_app.sessions.embedded import EmbeddedRecords
from serve_app.sessions.record import Limits
from serve_app.sessions.store import RecordedSessions

async def main():
    store = RecordedSessions(EmbeddedRecords(Path(sys.argv[1]), 60.0, 3), Limits(1000, 10**6, drops_unsummarised=True))
    context = RequestContext("r", "acme", Deadline.after(120))
    key, num = SessionKey("acme", "ann", "s1"), 0
    while num < 20:
        basis = await store.load(key, context)
        try:
            await store.append(key, [{"role": "user", "content": sys.argv[2]}], basis, context)
            num += 1
        except Conflict:
            pass
    os.kill(os.getpid(), 9)

asyncio.run(main())
"""


def test_processes_lose_none_of_each_others_turns(tmp_path: Path, repository: Path) -> None:
    """Three at once, each killed where it stands when it has written."""
    path = tmp_path / "sessions.sqlite3"
    writers = [
        subprocess.Popen([sys.executable, "-c", _WRITER, str(path), name], cwd=repository) for name in "abc"
    ]
    assert [writer.wait(240) for writer in writers] == [-9, -9, -9]

    async def read() -> Session:
        store = RecordedSessions(EmbeddedRecords(path, 60.0, 3), LIMITS)
        try:
            return await store.load(KEY, context())
        finally:
            await store.close()

    session = asyncio.run(read())
    assert session.version == 60
    said = [one["content"] for one in session.turns]
    assert {name: said.count(name) for name in "abc"} == {"a": 20, "b": 20, "c": 20}
