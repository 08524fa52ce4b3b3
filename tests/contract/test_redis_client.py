"""The connection that all commands of a replica share, on a real Redis; without redis-server here, they are skipped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import pytest
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import NoScriptError, ResponseError
from redis.exceptions import TimeoutError as TooLate

from configs.schema import RedisConfig
from serve_app.redis_client import SharedRedis, open_redis


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[SharedRedis]:
    made = open_redis(RedisConfig(url=redis_url, timeout_s=5))
    yield made
    await made.aclose()


async def test_each_gets_the_reply_to_its_own_command(redis: SharedRedis) -> None:
    async def ask(number: int) -> None:
        assert await redis.ask("SET", f"own-{number}", b"\x00\r\n" * number, "PX", 60_000) == b"OK"
        assert await redis.ask("GET", f"own-{number}") == b"\x00\r\n" * number
        assert await redis.ask_all([("STRLEN", f"own-{number}"), ("GET", "nobody's")]) == [3 * number, None]

    await asyncio.gather(*map(ask, range(300)))


async def test_all_of_them_share_one_connection(redis: SharedRedis) -> None:
    found = await asyncio.gather(*(redis.ask("CLIENT", "ID") for _ in range(50)))
    assert len(set(found)) == 1


async def test_what_is_refused_is_told_to_who_asked_for_it(redis: SharedRedis) -> None:
    refused, missing, fine = await redis.ask_all(
        [("INCR", "x", "y"), ("EVALSHA", "0" * 40, 0), ("ECHO", "fine")]
    )
    assert isinstance(refused, ResponseError)
    assert isinstance(missing, NoScriptError)
    assert fine == b"fine"
    with pytest.raises(ResponseError, match="arguments"):
        await redis.ask("INCR", "x", "y")


async def test_who_leaves_takes_no_reply_from_others(redis: SharedRedis) -> None:
    await redis.ask("PING")
    asked = [asyncio.create_task(redis.ask("ECHO", str(number))) for number in range(20)]
    await asyncio.sleep(0)
    for one in asked[::2]:
        one.cancel()
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert found[1::2] == [str(number).encode() for number in range(1, 20, 2)]


async def test_who_leaves_while_it_connects_leaves_the_others_their_connection(redis: SharedRedis) -> None:
    first, second = (asyncio.create_task(redis.ask("ECHO", word)) for word in ("one", "two"))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == b"two"


async def test_a_connection_that_redis_closed_is_made_again(redis: SharedRedis) -> None:
    own = await redis.ask("CLIENT", "ID")
    for _ in range(3):
        await redis.client_kill_filter(_id=own)
        again = await asyncio.gather(*(redis.ask("CLIENT", "ID") for _ in range(20)))
        assert own not in again
        assert len(set(again)) == 1
        own = again[0]


async def test_what_redis_does_not_answer_in_time_is_given_up(redis_url: str, redis: SharedRedis) -> None:
    hasty = open_redis(RedisConfig(url=redis_url, timeout_s=0.1))
    await hasty.ask("PING")
    await redis.execute_command("CLIENT", "PAUSE", 400, "WRITE")
    told = await asyncio.gather(*(hasty.ask("INCR", "paused") for _ in range(5)), return_exceptions=True)
    assert [type(one) for one in told] == [TooLate] * 5
    await redis.execute_command("CLIENT", "UNPAUSE")
    assert await hasty.ask("ECHO", "back") == b"back"
    await hasty.aclose()


async def test_a_redis_that_is_gone_is_said_to_be(free_port: Callable[[], int]) -> None:
    gone = open_redis(RedisConfig(url=f"redis://127.0.0.1:{free_port()}/0", timeout_s=1))
    told = await asyncio.gather(*(gone.ask("PING") for _ in range(50)), return_exceptions=True)
    assert {type(one) for one in told} == {ConnectionLost}
    await gone.aclose()


async def test_a_password_is_shown_to_redis(redis: SharedRedis, redis_url: str, monkeypatch) -> None:
    await redis.execute_command("ACL", "SETUSER", "bob", "on", ">sesame", "+@all", "~*")
    monkeypatch.setenv("BOBS", "sesame")
    made = open_redis(RedisConfig(url=redis_url, timeout_s=5, username="bob", password={"env": "BOBS"}))
    assert await made.ask("ACL", "WHOAMI") == b"bob"
    await made.aclose()
    monkeypatch.setenv("BOBS", "wrong")
    made = open_redis(RedisConfig(url=redis_url, timeout_s=5, username="bob", password={"env": "BOBS"}))
    with pytest.raises(ConnectionLost):
        await made.ask("PING")
    await made.aclose()
    await redis.execute_command("ACL", "DELUSER", "bob")


async def test_a_server_that_is_no_redis_is_left(free_port: Callable[[], int]) -> None:
    port, ended = free_port(), asyncio.Event()

    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionResetError):
            while data := await reader.read(4096):
                writer.write(b"+OK\r\n" * data.count(b"SETINFO") + b"?what\r\n" * data.count(b"PING"))
        writer.close()
        ended.set()

    async with await asyncio.start_server(babble, "127.0.0.1", port):
        made = open_redis(RedisConfig(url=f"redis://127.0.0.1:{port}/0", timeout_s=1))
        with pytest.raises(ConnectionLost, match="nobody understands"):
            await made.ask("PING")
        await ended.wait()
        await made.aclose()


async def test_what_is_closed_lets_go_of_who_waits(redis_url: str, redis: SharedRedis) -> None:
    made = open_redis(RedisConfig(url=redis_url, timeout_s=5))
    await made.ask("PING")
    await redis.execute_command("CLIENT", "PAUSE", 10_000, "WRITE")
    waiting = asyncio.create_task(made.ask("INCR", "paused"))
    await asyncio.sleep(0)
    await made.aclose()
    with pytest.raises(ConnectionLost):
        await waiting
    with pytest.raises(ConnectionLost):
        await made.ask("PING")
    await redis.execute_command("CLIENT", "UNPAUSE")
