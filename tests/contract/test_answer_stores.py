"""What every store of answers does. Redis is a real one; without redis-server here, its tests are skipped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest

from configs.schema import RedisConfig
from serve_app.answer_cache.base import AnswerStore, Entry, Vector
from serve_app.answer_cache.codec import from_bytes, to_bytes
from serve_app.answer_cache.embedded import EmbeddedAnswers
from serve_app.answer_cache.redis_answers import RedisAnswers
from serve_app.errors import Unavailable
from serve_app.redis_client import open_redis

Open = Callable[[], AnswerStore]
ENTRY = Entry((b"data: 1\n\n", b"", b"data: [DONE]\n\n"), 17.5, "member", "What?")


@pytest.fixture(params=["embedded", "redis"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AnswerStore]:
    made: AnswerStore
    if request.param == "embedded":
        made = EmbeddedAnswers(1_000_000, max_questions=3)
    else:
        config = RedisConfig(url=request.getfixturevalue("redis_url"), timeout_s=5)
        made = RedisAnswers(
            open_redis(config), f"answers-{tmp_path.name}-{time.monotonic_ns()}", max_questions=3
        )
    yield made
    await made.close()


def towards(*numbers: float) -> Vector:
    vector = np.array(numbers, np.float32)
    return vector / np.float32(np.linalg.norm(vector))


async def test_what_is_put_is_got_as_it_was(store: AnswerStore) -> None:
    assert await store.get("k") is None
    await store.put("k", ENTRY, 60)
    assert await store.get("k") == ENTRY
    other = Entry((b"{}",), 18.0)
    await store.put("k", other, 60)
    assert await store.get("k") == other
    assert await store.get("other") is None


async def test_an_answer_whose_time_is_over_is_gone(store: AnswerStore) -> None:
    await store.put("k", ENTRY, 0.05, "s", towards(1, 0))
    async with asyncio.timeout(60):
        while await store.get("k") is not None:  # noqa: ASYNC110 (Redis tells nobody)
            await asyncio.sleep(0.01)


async def test_the_nearest_of_a_scope_come_in_their_order(store: AnswerStore) -> None:
    for key, vector in (("a", towards(1, 0)), ("b", towards(1, 1)), ("c", towards(0, 1))):
        await store.put(key, ENTRY, 60, "s", vector)
    found = await store.nearest("s", towards(1, 0.1), 2)
    assert [one.key for one in found] == ["a", "b"]
    assert found[0].cosine == pytest.approx(float(towards(1, 0) @ towards(1, 0.1)), abs=1e-6)
    assert list(await store.nearest("other", towards(1, 0), 2)) == []


async def test_an_exact_answer_is_not_found_by_meaning(store: AnswerStore) -> None:
    await store.put("k", ENTRY, 60)
    assert list(await store.nearest("s", towards(1, 0), 2)) == []


async def test_what_comes_later_is_found_too(store: AnswerStore) -> None:
    await store.put("a", ENTRY, 60, "s", towards(1, 0))
    assert len(await store.nearest("s", towards(1, 0), 5)) == 1
    await store.put("b", ENTRY, 60, "s", towards(1, 0.2))
    assert [one.key for one in await store.nearest("s", towards(1, 0.2), 5)] == ["b", "a"]
    await store.put("a", ENTRY, 60, "s", towards(0, 1))
    assert [one.key for one in await store.nearest("s", towards(0, 1), 5)] == ["a", "b"]


async def test_a_scope_has_a_bounded_number_of_questions(store: AnswerStore) -> None:
    for number in range(6):
        await store.put(f"k{number}", ENTRY, 60, "s", towards(1, number))
    found = {one.key for one in await store.nearest("s", towards(1, 0), 10)}
    assert found == {"k3", "k4", "k5"}


async def test_vectors_of_another_embedder_are_not_compared(store: AnswerStore) -> None:
    await store.put("a", ENTRY, 60, "s", towards(1, 0))
    assert list(await store.nearest("s", towards(1, 0, 0), 5)) == []


async def test_the_embedded_store_keeps_to_its_bytes_and_drops_the_least_used() -> None:
    store = EmbeddedAnswers(5_000, 100)
    big = Entry((b"x" * 1000,), 0.0)
    for key in "abc":
        await store.put(key, big, 60, "s", towards(1, 0))
    await store.get("a")
    await store.put("d", big, 60, "s", towards(1, 0))
    assert store.num_bytes <= 5_000
    assert await store.get("a") == big
    assert await store.get("b") is None
    assert "b" not in {one.key for one in await store.nearest("s", towards(1, 0), 9)}
    await store.put("e", Entry((b"x" * 9000,), 0.0), 60)
    assert await store.get("e") is None
    assert await store.get("a") == big


async def test_a_redis_that_is_gone_is_said_to_be(free_port: Callable[[], int]) -> None:
    config = RedisConfig(url=f"redis://127.0.0.1:{free_port()}/0", timeout_s=1)
    store = RedisAnswers(open_redis(config), "gone", 10)
    for asked in (store.get("k"), store.put("k", ENTRY, 60), store.nearest("s", towards(1), 1)):
        with pytest.raises(Unavailable, match="Redis"):
            await asked
    await store.close()


def test_what_is_no_entry_is_none() -> None:
    data = to_bytes(ENTRY)
    assert from_bytes(data) == ENTRY
    for broken in (b"", b"\x00", data[:-1], data + b"x", b"\x00\x00\x00\x02{}", b"\x00\x00\x00\x04null"):
        assert from_bytes(broken) is None
