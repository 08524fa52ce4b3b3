from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence

import pytest

from serve_app.errors import Unavailable
from serve_app.limits.base import Check, Claim, Decision, Kind, Settlement, UsageRow
from serve_app.limits.embedded import EmbeddedLimits
from serve_app.limits.limiter import GONE_S, MAX_KNOWN, MAX_SECOND_LOOKS, MAX_WAITING, Limiter

REQUESTS = Check(Kind.REQUESTS, "tenant:a", 600, 100)
MONEY = Check(Kind.DAY, "tenant:a", 1000)
CONCURRENT = Check(Kind.CONCURRENT, "tenant:a", 8)


class Time:
    now_s = 50.0

    def __call__(self) -> float:
        return self.now_s


class Shared:
    """A store that several limiters share, and that can be gone."""

    def __init__(self, clock: Time) -> None:
        self.counts = EmbeddedLimits(clock=clock)
        self.is_gone = False
        self.num_asked = 0
        self.settled: list[Settlement] = []

    async def acquire(self, claim: Claim) -> Decision:
        self.num_asked += 1
        await asyncio.sleep(0)
        if self.is_gone:
            raise Unavailable("gone")
        return self.counts.decide(claim)

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        if self.is_gone:
            raise Unavailable("gone")
        self.settled += settlements
        await self.counts.settle(settlements)

    async def usage(self, num_days: int) -> tuple[UsageRow, ...]:
        return await self.counts.usage(num_days)

    async def save(self) -> None: ...

    async def close(self) -> None: ...


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def shared(clock: Time) -> Shared:
    return Shared(clock)


def claim(number: int, *checks: Check, nano_usd: int = 0) -> Claim:
    return Claim(str(number), 60, checks, nano_usd=nano_usd)


def settlement(one: Claim, nano_usd: int = 0) -> Settlement:
    return Settlement(one, UsageRow("", "a", "k", "m", 1, 0, 0, nano_usd))


@pytest.mark.parametrize("num_replicas", [1, 2, 4, 7])
async def test_without_the_store_all_replicas_together_admit_what_is_allowed(
    shared: Shared, clock: Time, num_replicas: int
) -> None:
    shared.is_gone = True
    replicas = [Limiter(shared, num_replicas, clock=clock) for _ in range(num_replicas)]
    decisions = [await one.acquire(claim(n, REQUESTS)) for one in replicas for n in range(200)]
    num_admitted = sum(decision.is_admitted for decision in decisions)
    assert num_replicas <= num_admitted <= 100
    assert num_admitted >= 100 - num_replicas
    assert all(decision.is_local for decision in decisions)
    clock.now_s += 60
    again = [await one.acquire(claim(n, REQUESTS)) for one in replicas for n in range(200)]
    assert sum(decision.is_admitted for decision in again) <= 100  # a full bucket each, and no more


@pytest.mark.parametrize("num_flaps", [1, 20])
async def test_a_store_that_comes_and_goes_gives_nobody_another_burst(
    shared: Shared, clock: Time, num_flaps: int
) -> None:
    replicas = [Limiter(shared, 4, clock=clock) for _ in range(4)]
    began_s, num_admitted = clock.now_s, 0

    async def ask_all() -> int:
        admitted = 0
        for limiter in replicas:
            one = claim(next(numbers), REQUESTS)
            decision = await limiter.acquire(one)
            if decision.is_admitted:
                admitted += 1
                limiter.finish(settlement(one), is_local=decision.is_local)
        return admitted

    numbers = itertools.count()
    for _ in range(num_flaps):
        for is_gone in (False, True):
            shared.is_gone = is_gone
            for _ in range(50):
                num_admitted += await ask_all()
                clock.now_s += 2 * GONE_S / 50
        shared.is_gone = False
        for limiter in replicas:
            await limiter.flush()
    allowed = REQUESTS.burst + REQUESTS.limit / 60 * (clock.now_s - began_s)
    assert 0.9 * allowed <= num_admitted <= allowed + len(replicas)


async def test_what_is_known_of_limits_is_bounded(shared: Shared, clock: Time) -> None:
    limiter = Limiter(shared, 2, clock=clock)
    for number in range(MAX_KNOWN + 5):
        await limiter.acquire(claim(number, Check(Kind.REQUESTS, f"tenant:{number}", 600, 100)))
    assert len(limiter._left) == MAX_KNOWN


async def test_one_request_a_while_finds_out_whether_the_store_is_back(shared: Shared, clock: Time) -> None:
    shared.is_gone = True
    limiter = Limiter(shared, 2, clock=clock)
    for number in range(50):
        await limiter.acquire(claim(number, REQUESTS))
    assert shared.num_asked == 1
    clock.now_s += GONE_S
    await asyncio.gather(*(limiter.acquire(claim(n, REQUESTS)) for n in range(20)))
    assert shared.num_asked == 2
    shared.is_gone = False
    clock.now_s += GONE_S
    assert not (await limiter.acquire(claim(1, REQUESTS))).is_local
    assert not (await limiter.acquire(claim(2, REQUESTS))).is_local


async def test_concurrency_is_shared_out_and_given_back(shared: Shared, clock: Time) -> None:
    shared.is_gone = True
    limiter = Limiter(shared, 4, clock=clock)
    claims = [claim(n, CONCURRENT) for n in range(3)]
    assert [(await limiter.acquire(one)).is_admitted for one in claims] == [True, True, False]
    limiter.finish(settlement(claims[0]), is_local=True)
    assert (await limiter.acquire(claims[2])).is_admitted


async def test_money_that_was_left_is_what_is_shared_out(shared: Shared, clock: Time) -> None:
    limiter = Limiter(shared, 2, clock=clock)
    await limiter.acquire(claim(1, MONEY, nano_usd=800))
    shared.is_gone = True
    spent = sum(
        [100 for n in range(10) if (await limiter.acquire(claim(n, MONEY, nano_usd=100))).is_admitted]
    )
    assert spent <= 100  # half of the 200 that were left


async def test_what_was_decided_alone_is_charged_afterwards(shared: Shared, clock: Time) -> None:
    limiter = Limiter(shared, 2, clock=clock)
    shared.is_gone = True
    one = claim(1, MONEY, nano_usd=100)
    decision = await limiter.acquire(one)
    limiter.finish(settlement(one, nano_usd=70), is_local=decision.is_local)
    with pytest.raises(Unavailable):
        await limiter.flush()
    shared.is_gone = False
    await limiter.flush()
    clock.now_s += GONE_S
    left = (await limiter.acquire(claim(2, MONEY))).standings[0].remaining
    assert left == 930
    assert len(shared.settled) == 1


async def test_what_waits_is_bounded(shared: Shared, clock: Time) -> None:
    limiter = Limiter(shared, 2, clock=clock)
    one = claim(1, MONEY)
    for _ in range(MAX_WAITING + 5):
        limiter.finish(settlement(one), is_local=False)
    assert limiter.num_lost == 5
    await limiter.flush()
    assert len(shared.settled) == MAX_WAITING


async def test_no_check_asks_nobody(shared: Shared, clock: Time) -> None:
    assert (await Limiter(shared, 2, clock=clock).acquire(claim(1))).is_admitted
    assert shared.num_asked == 0


# ---------------------------------------------------------------- places that are being given back

ONE_PLACE = Check(Kind.CONCURRENT, "tenant:a", 1)


class Waiting:
    """Waits by `then`: whatever goes on elsewhere in that time."""

    def __init__(self) -> None:
        self.num_waits = 0
        self.then: list[Callable[[], Awaitable[None]]] = []

    async def __call__(self, seconds: float) -> None:
        self.num_waits += 1
        for one in self.then:
            await one()


@pytest.mark.parametrize("num_replicas", [None, 4])
async def test_who_asks_again_at_once_finds_the_place_that_was_theirs(
    shared: Shared, clock: Time, num_replicas: int | None
) -> None:
    limiter = Limiter(shared, num_replicas, clock=clock, sleep=Waiting())
    for number in range(20):
        one = claim(number, ONE_PLACE)
        assert (await limiter.acquire(one)).is_admitted
        limiter.finish(settlement(one), is_local=False)  # and nobody has sent that yet


async def test_a_place_that_another_replica_is_giving_back_is_found(shared: Shared, clock: Time) -> None:
    waiting = Waiting()
    here, there = (Limiter(shared, 2, clock=clock, sleep=waiting) for _ in range(2))
    one = claim(1, ONE_PLACE)
    assert (await there.acquire(one)).is_admitted
    there.finish(settlement(one), is_local=False)
    waiting.then.append(there.flush)
    assert (await here.acquire(claim(2, ONE_PLACE))).is_admitted
    assert waiting.num_waits == 1


async def test_who_holds_all_places_is_refused_after_one_more_look(shared: Shared, clock: Time) -> None:
    waiting = Waiting()
    limiter = Limiter(shared, 2, clock=clock, sleep=waiting)
    assert (await limiter.acquire(claim(1, ONE_PLACE))).is_admitted
    refused = await limiter.acquire(claim(2, ONE_PLACE))
    assert (refused.refused_by, waiting.num_waits, shared.num_asked) == (ONE_PLACE, 1, 3)


async def test_other_limits_refuse_at_once(shared: Shared, clock: Time) -> None:
    waiting = Waiting()
    limiter = Limiter(shared, 2, clock=clock, sleep=waiting)
    for number in range(101):
        decision = await limiter.acquire(claim(number, REQUESTS))
    assert (decision.is_admitted, waiting.num_waits) == (False, 0)


async def test_a_flood_waits_only_in_part(shared: Shared, clock: Time) -> None:
    over = asyncio.Event()

    async def wait(seconds: float) -> None:
        await over.wait()

    limiter = Limiter(shared, 2, clock=clock, sleep=wait)
    await limiter.acquire(claim(0, ONE_PLACE))
    flood = [asyncio.create_task(limiter.acquire(claim(n, ONE_PLACE))) for n in range(1, 200)]
    for _ in range(20):
        await asyncio.sleep(0)
    assert sum(not one.done() for one in flood) == MAX_SECOND_LOOKS
    over.set()
    assert not any(one.is_admitted for one in await asyncio.gather(*flood))


async def test_what_is_on_its_way_has_arrived_when_all_is_sent(shared: Shared, clock: Time) -> None:
    gate = asyncio.Event()
    settle = shared.settle

    async def slow(settlements: Sequence[Settlement]) -> None:
        await gate.wait()
        await settle(settlements)

    shared.settle = slow  # type: ignore[method-assign]
    limiter = Limiter(shared, 2, clock=clock)
    limiter.finish(settlement(claim(1, REQUESTS)), is_local=False)
    first = asyncio.create_task(limiter.flush())
    await asyncio.sleep(0)
    second = asyncio.create_task(limiter.flush())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not second.done()
    gate.set()
    await asyncio.gather(first, second)
    assert len(shared.settled) == 1


async def test_a_place_of_this_process_is_free_when_its_request_is_over(clock: Time) -> None:
    async def never(_: float) -> None:
        raise AssertionError("somebody has to wait for a place that is free")

    limiter = Limiter(EmbeddedLimits(clock=clock), clock=clock, sleep=never)
    one = Check(Kind.CONCURRENT, "key:1", 1)
    for number in range(3):
        taken = claim(number, one)
        assert (await limiter.acquire(taken)).is_admitted
        limiter.finish(settlement(taken), is_local=False)
    assert [row.num_requests for row in await limiter.usage(1)] == [3]
