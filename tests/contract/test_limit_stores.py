"""What every store of limits does. Redis is a real one; without redis-server here, its tests are skipped."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from configs.schema import RedisConfig
from serve_app.errors import Unavailable
from serve_app.limits.base import Check, Claim, Decision, Kind, LimitStore, Settlement, UsageRow
from serve_app.limits.calendar import Calendar
from serve_app.limits.embedded import EmbeddedLimits
from serve_app.limits.ledger import Ledger
from serve_app.limits.limiter import Limiter
from serve_app.limits.redis_limits import RedisLimits
from serve_app.redis_client import open_redis

# So slow that nothing is refilled while a test runs.
REQUESTS = Check(Kind.REQUESTS, "tenant:a", 0.01, 3)
TOKENS = Check(Kind.TOKENS, "tenant:a", 0.01, 100)
CONCURRENT = Check(Kind.CONCURRENT, "tenant:a", 2)
DAY = Check(Kind.DAY, "tenant:a", 1000)
MONTH = Check(Kind.MONTH, "tenant:a", 1500)

numbers = itertools.count()


@pytest.fixture(params=["embedded", "redis"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[LimitStore]:
    made: LimitStore
    if request.param == "embedded":
        made = EmbeddedLimits(Ledger(tmp_path / "usage.sqlite3"))
    else:
        config = RedisConfig(url=request.getfixturevalue("redis_url"), timeout_s=5)
        made = RedisLimits(open_redis(config), f"limits-{tmp_path.name}-{time.monotonic_ns()}")
    yield made
    await made.close()


def claim(*checks: Check, tokens: int = 0, nano_usd: int = 0, lease_s: float = 60.0) -> Claim:
    return Claim(f"lease-{next(numbers)}", lease_s, checks, tokens, nano_usd)


def used(one: Claim, prompt: int = 0, answer: int = 0, nano_usd: int = 0, model: str = "m") -> Settlement:
    return Settlement(one, UsageRow("", "a", "k", model, 1, prompt, answer, nano_usd))


def left(decision: Decision) -> list[float]:
    return [round(standing.remaining) for standing in decision.standings]


async def test_a_bucket_gives_its_burst_and_then_says_when(store: LimitStore) -> None:
    decisions = [await store.acquire(claim(REQUESTS)) for _ in range(4)]
    assert [decision.is_admitted for decision in decisions] == [True, True, True, False]
    assert [left(decision) for decision in decisions] == [[2], [1], [0], [0]]
    refused = decisions[-1]
    assert refused.refused_by == REQUESTS
    assert 5900 < refused.retry_after_s <= 6001
    assert 17_900 < refused.standings[0].reset_s <= 18_001


async def test_buckets_fill_again(store: LimitStore) -> None:
    fast = replace(REQUESTS, limit=60_000, burst=1)  # one a millisecond
    for _ in range(5):
        while not (await store.acquire(claim(fast))).is_admitted:  # noqa: ASYNC110 (time is what is waited for)
            await asyncio.sleep(0.002)


async def test_all_is_taken_or_nothing(store: LimitStore) -> None:
    one = replace(REQUESTS, scope="key:k", burst=1)
    checks = (REQUESTS, one, CONCURRENT, DAY)
    assert left(await store.acquire(claim(*checks, nano_usd=10))) == [2, 0, 1, 990]
    refused = await store.acquire(claim(*checks, nano_usd=10))
    assert (refused.refused_by, left(refused)) == (one, [2, 0, 1, 990])
    assert left(await store.acquire(claim(REQUESTS, CONCURRENT, DAY))) == [1, 0, 990]


async def test_the_longest_wait_is_told(store: LimitStore) -> None:
    soon = replace(REQUESTS, scope="key:k", limit=60, burst=1)
    late = replace(REQUESTS, scope="key:l", limit=0.5, burst=1)
    await store.acquire(claim(soon, late))
    refused = await store.acquire(claim(soon, late))
    assert refused.refused_by == late
    assert 118 < refused.retry_after_s <= 121


@pytest.mark.parametrize(("num_used", "num_left"), [(10, 90), (60, 40), (90, 10), (130, 0)])
async def test_tokens_are_settled_by_what_was_used(store: LimitStore, num_used: int, num_left: int) -> None:
    one = claim(TOKENS, tokens=60)
    assert left(await store.acquire(one)) == [40]
    await store.settle([used(one, num_used, 0)])
    after = await store.acquire(claim(TOKENS, tokens=0))
    assert left(after) == [num_left]
    if num_used > 100:  # a debt is worked off before anybody goes on
        refused = await store.acquire(claim(TOKENS, tokens=1))
        assert not refused.is_admitted
        assert refused.retry_after_s > 30 * 6000


async def test_what_was_admitted_elsewhere_is_charged_when_it_is_settled(store: LimitStore) -> None:
    alone = replace(claim(REQUESTS), num_requests=0)
    await store.settle([used(alone), used(alone)])
    assert left(await store.acquire(claim(REQUESTS))) == [0]
    assert not (await store.acquire(claim(REQUESTS))).is_admitted
    await store.settle([used(claim(REQUESTS))])  # was taken when it was admitted
    assert not (await store.acquire(claim(REQUESTS))).is_admitted


async def test_a_request_larger_than_the_bucket_passes_when_that_is_full(store: LimitStore) -> None:
    large = claim(TOKENS, tokens=5000)
    assert (await store.acquire(large)).is_admitted
    assert not (await store.acquire(claim(TOKENS, tokens=1))).is_admitted
    await store.settle([used(large, 150)])
    assert not (await store.acquire(claim(TOKENS, tokens=1))).is_admitted  # it owes what it really took
    await store.settle([used(claim(TOKENS, tokens=70), 0)])
    assert left(await store.acquire(claim(TOKENS, tokens=0))) == [20]


async def test_what_a_killed_replica_had_reserved_is_no_more_than_a_bucket(store: LimitStore) -> None:
    """A client may ask for 10 million tokens; its estimate must lock nobody out when nobody settles it."""
    check = replace(TOKENS, limit=60_000)  # one a millisecond
    assert (await store.acquire(claim(check, tokens=10**14))).is_admitted
    refused = await store.acquire(claim(check, tokens=100))
    assert (refused.is_admitted, refused.retry_after_s <= 0.11) == (False, True)
    while not (await store.acquire(claim(check, tokens=100))).is_admitted:  # noqa: ASYNC110 (time passes)
        await asyncio.sleep(0.01)


async def test_leases_are_given_back_and_end_by_themselves(store: LimitStore) -> None:
    lost, kept = claim(CONCURRENT, lease_s=0.05), claim(CONCURRENT)
    assert (await store.acquire(lost)).is_admitted
    assert (await store.acquire(kept)).is_admitted
    refused = await store.acquire(claim(CONCURRENT))
    assert (refused.is_admitted, refused.retry_after_s) == (False, 1.0)
    await asyncio.sleep(0.06)  # the ingress that held it was killed
    another = claim(CONCURRENT)
    assert (await store.acquire(another)).is_admitted
    assert not (await store.acquire(claim(CONCURRENT))).is_admitted
    await store.settle([used(kept), used(another)])
    await store.settle([used(lost)])  # late, and of no effect
    assert left(await store.acquire(claim(CONCURRENT))) == [1]


async def test_money_is_reserved_and_settled_in_day_and_month(store: LimitStore) -> None:
    one = claim(DAY, MONTH, nano_usd=800)
    assert left(await store.acquire(one)) == [200, 700]
    refused = await store.acquire(claim(DAY, MONTH, nano_usd=300))
    assert refused.refused_by == DAY
    assert 0 < refused.retry_after_s <= 86_400
    await store.settle([used(one, nano_usd=100)])
    assert left(await store.acquire(claim(DAY, MONTH, nano_usd=900))) == [0, 500]
    assert not (await store.acquire(claim(DAY, MONTH))).is_admitted


async def test_a_month_is_longer_than_its_day(store: LimitStore) -> None:
    spent = replace(MONTH, limit=0)
    refused = await store.acquire(claim(spent))
    assert refused.refused_by == spent
    assert 0 < refused.retry_after_s <= 31 * 86_400
    assert refused.retry_after_s == pytest.approx(Calendar().seconds_left(Kind.MONTH), abs=5)


async def test_usage_is_counted_by_day_and_model(store: LimitStore) -> None:
    claims = [claim() for _ in range(3)]
    await store.settle([used(claims[0], 3, 4, 50), used(claims[1], 1, 1, 5)])
    await store.settle([used(claims[2], 2, 0, 0, model="n|/:"), used(claim(), model="")])
    rows = {row.model: row for row in await store.usage(2)}
    today = Calendar().period(Kind.DAY)
    assert rows["m"] == UsageRow(today, "a", "k", "m", 2, 4, 5, 55)
    assert rows["n|/:"].num_prompt_tokens == 2
    assert rows[""].num_requests == 1
    assert len(rows) == 3


@pytest.mark.parametrize("num_callers", [8])
async def test_many_at_once_get_no_more_than_there_is(store: LimitStore, num_callers: int) -> None:
    check = replace(REQUESTS, burst=40)

    async def call() -> int:
        decisions = [await store.acquire(claim(check)) for _ in range(20)]
        return sum(decision.is_admitted for decision in decisions)

    assert sum(await asyncio.gather(*(call() for _ in range(num_callers)))) == 40


async def test_hundreds_of_requests_may_ask_at_once(store: LimitStore) -> None:
    decisions = await asyncio.gather(*(store.acquire(claim(REQUESTS, CONCURRENT)) for _ in range(400)))
    assert sum(decision.is_admitted for decision in decisions) == 2


async def test_money_outlives_an_embedded_store(tmp_path: Path) -> None:
    first = EmbeddedLimits(Ledger(tmp_path / "usage.sqlite3"))
    one = claim(DAY, nano_usd=400)
    await first.acquire(one)
    await first.settle([used(one, nano_usd=400)])
    await first.close()
    again = EmbeddedLimits(Ledger(tmp_path / "usage.sqlite3"))
    assert left(await again.acquire(claim(DAY, MONTH, nano_usd=100))) == [500, 1000]


async def test_replicas_share_one_redis(redis_url: str, tmp_path: Path) -> None:
    config = RedisConfig(url=redis_url, timeout_s=5)
    replicas = [
        Limiter(RedisLimits(open_redis(config), f"shared-{tmp_path.name}"), num_replicas=4) for _ in range(4)
    ]
    check = replace(REQUESTS, burst=100)

    async def call(limiter: Limiter) -> int:
        decisions = [await limiter.acquire(claim(check)) for _ in range(60)]
        assert not any(decision.is_local for decision in decisions)
        return sum(decision.is_admitted for decision in decisions)

    assert sum(await asyncio.gather(*map(call, replicas))) == 100
    for limiter in replicas:
        await limiter.close()


async def test_who_asks_again_at_once_is_not_refused_for_their_own_last_answer(
    redis_url: str, tmp_path: Path
) -> None:
    """Each answer on another replica; what an answer held is given back behind its back."""
    replicas: list[Limiter] = []

    async def a_moment(_: float) -> None:
        for limiter in replicas:
            await limiter.flush()

    config, name = RedisConfig(url=redis_url, timeout_s=5), f"again-{tmp_path.name}"
    replicas += [Limiter(RedisLimits(open_redis(config), name), 2, sleep=a_moment) for _ in "ab"]
    check = replace(CONCURRENT, limit=1)
    for turn in range(20):
        one = claim(check)
        assert (await replicas[turn % 2].acquire(one)).is_admitted
        replicas[turn % 2].finish(used(one), is_local=False)
    for limiter in replicas:
        await limiter.close()


async def test_without_redis_each_replica_has_its_share_at_once(free_port: Callable[[], int]) -> None:
    config = RedisConfig(url=f"redis://127.0.0.1:{free_port()}/0")
    replicas = [Limiter(RedisLimits(open_redis(config), "manta"), num_replicas=4) for _ in range(4)]
    check = replace(REQUESTS, burst=100)
    decisions = [await one.acquire(claim(check)) for one in replicas for _ in range(60)]
    assert all(decision.is_local for decision in decisions)
    assert sum(decision.is_admitted for decision in decisions) == 100
    with pytest.raises(Unavailable):
        await replicas[0].usage(1)


async def test_redis_scripts_are_loaded_again(redis_url: str, tmp_path: Path) -> None:
    client = open_redis(RedisConfig(url=redis_url, timeout_s=5))
    limits = RedisLimits(client, f"flushed-{tmp_path.name}")
    one = claim(REQUESTS, TOKENS)
    await limits.acquire(one)
    await limits.settle([used(one)])
    await client.script_flush()
    assert (await limits.acquire(claim(REQUESTS))).is_admitted
    await client.script_flush()
    await limits.settle([used(one, 1, 1), used(one, 1, 1)])
    assert sum(row.num_requests for row in await limits.usage(1)) == 3
    await limits.close()


@pytest.mark.parametrize("jump_ms", [3_600_000, -3_600_000, 400 * 86_400_000])
async def test_a_clock_that_jumps_gives_at_most_a_burst(redis_url: str, tmp_path: Path, jump_ms: int) -> None:
    """Redis' clock is not ours to set, so what it wrote down is moved the other way."""
    client = open_redis(RedisConfig(url=redis_url, timeout_s=5))
    prefix = f"jump-{tmp_path.name}"
    limits = RedisLimits(client, prefix)
    for _ in range(3):
        await limits.acquire(claim(REQUESTS, DAY, nano_usd=100))
    key = f"{{{prefix}}}:limit:requests:tenant:a"
    before = float(await client.hget(key, "at") or 0)
    await client.hset(key, "at", str(before - jump_ms))
    num = sum([(await limits.acquire(claim(REQUESTS))).is_admitted for _ in range(10)])
    assert num == (0 if jump_ms < 0 else min(3, jump_ms // 6_000_000))
    # Filled on from the new time: nobody waits until the clock is where it was.
    assert float(await client.hget(key, "at") or 0) <= before + 600_000
    spent = f"{{{prefix}}}:limit:day:tenant:a"
    await client.hset(spent, "period", "99999")  # the day was once a later one
    assert left(await limits.acquire(claim(DAY))) == [700]
    await limits.close()
