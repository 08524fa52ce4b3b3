"""Tenants get their weighted share of slots that are full, in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.admission.admission import Admission
from serve_app.admission.base import QueueLimits
from serve_app.admission.line import Line
from serve_app.admission.shares import Shares
from serve_app.errors import DeadlineExceeded, Overloaded
from serve_app.messages import Priority, RequestContext

Make = Callable[..., RequestContext]
INTERACTIVE, BATCH = Priority.INTERACTIVE, Priority.BATCH
SECONDS, SETTLED_S = 400.0, 50.0


@dataclass(frozen=True)
class Tenant:
    """How one tenant asks: so many callers who each wait for their answer, or so many requests a second."""

    weight: float = 1.0
    num_callers: int = 0
    rate_rps: float = 0.0
    hold_s: float = 1.0
    priority: Priority = INTERACTIVE


async def slot_seconds(
    tenants: dict[str, Tenant], make_context: Make, limits: QueueLimits | None = None
) -> Counter[str]:
    """Tenant -> seconds that its requests held slots, after things had settled."""
    clock, rng = asyncio.get_running_loop().time, random.Random(5)
    admission = Admission("model", limits or QueueLimits(8, 400, 1000.0), clock)
    start_s, held = clock(), Counter[str]()

    async def ask(name: str, tenant: Tenant) -> None:
        context = replace(make_context(6000.0, tenant.priority), tenant=name, weight=tenant.weight)
        async with admission.slot(context):
            began_s = clock()
            await asyncio.sleep(rng.lognormvariate(-0.32, 0.8) * tenant.hold_s)  # of mean hold_s
        end_s = min(clock(), start_s + SECONDS)
        held[name] += max(0.0, end_s - max(began_s, start_s + SETTLED_S))  # type: ignore[assignment]

    async def caller(name: str, tenant: Tenant) -> None:
        while clock() < start_s + SECONDS:
            try:
                await ask(name, tenant)
            except Overloaded as exc:
                await asyncio.sleep(exc.retry_after_s)

    async def arrivals(name: str, tenant: Tenant) -> None:
        async def once() -> None:
            with suppress(Overloaded, DeadlineExceeded):
                await ask(name, tenant)

        async with asyncio.TaskGroup() as group:
            while clock() < start_s + SECONDS:
                group.create_task(once())
                await asyncio.sleep(rng.expovariate(tenant.rate_rps))

    async with asyncio.TaskGroup() as group:
        for name, tenant in tenants.items():
            for _ in range(tenant.num_callers):
                group.create_task(caller(name, tenant))
            if tenant.rate_rps:
                group.create_task(arrivals(name, tenant))
    return held


def shares(held: Counter[str]) -> dict[str, float]:
    total = sum(held.values())
    return {name: value / total for name, value in held.items()}


async def test_who_asks_most_gets_no_more_than_its_share(make_context: Make) -> None:
    held = await slot_seconds(
        {"loud": Tenant(num_callers=100), "quiet": Tenant(num_callers=16)}, make_context
    )
    assert shares(held)["quiet"] == pytest.approx(0.5, abs=0.05 * 0.5)
    assert sum(held.values()) == pytest.approx(8 * (SECONDS - SETTLED_S), rel=0.01)  # no slot was idle


async def test_shares_are_by_weight(make_context: Make) -> None:
    tenants = {"a": Tenant(3, num_callers=40), "b": Tenant(1, num_callers=40), "c": Tenant(1, num_callers=40)}
    found = shares(await slot_seconds(tenants, make_context))
    for name, expected in (("a", 0.6), ("b", 0.2), ("c", 0.2)):
        assert found[name] == pytest.approx(expected, rel=0.05)


async def test_what_is_shared_is_time_and_not_requests(make_context: Make) -> None:
    tenants = {"long": Tenant(num_callers=40, hold_s=5.0), "short": Tenant(num_callers=40, hold_s=0.5)}
    found = shares(await slot_seconds(tenants, make_context))
    assert found["long"] == pytest.approx(0.5, rel=0.05)


async def test_what_one_leaves_the_others_have(make_context: Make) -> None:
    """A tenant that asks for less than its share gets all that it asks for."""
    tenants = {"loud": Tenant(num_callers=60), "rare": Tenant(rate_rps=0.8)}
    held = await slot_seconds(tenants, make_context)
    assert shares(held)["rare"] == pytest.approx(0.1, rel=0.2)  # of 8 slots, 0.8 requests of 1 s a second
    assert sum(held.values()) == pytest.approx(8 * (SECONDS - SETTLED_S), rel=0.01)


@pytest.mark.parametrize("max_wait_s", [2.0, 10.0])
async def test_shares_hold_in_an_overload(make_context: Make, max_wait_s: float) -> None:
    """At three times the capacity, where few may wait and the newest goes first."""
    limits = QueueLimits(16, 200, max_wait_s)
    tenants = {"flood": Tenant(rate_rps=40.0), "steady": Tenant(rate_rps=12.0)}
    found = shares(await slot_seconds(tenants, make_context, limits))
    assert found["steady"] == pytest.approx(0.5, rel=0.05)


async def test_interactive_requests_go_before_batch_of_whatever_tenant(make_context: Make) -> None:
    tenants = {"users": Tenant(num_callers=40), "jobs": Tenant(num_callers=40, priority=BATCH)}
    found = shares(await slot_seconds(tenants, make_context))
    assert found["users"] == pytest.approx(0.9, rel=0.05)  # batch keeps one of ten


async def test_nobody_saves_up_a_claim(make_context: Make) -> None:
    """Who comes back after a long pause has its share from then on, and no more."""
    clock = asyncio.get_running_loop().time
    admission = Admission("model", QueueLimits(1, 100, 1000.0), clock)
    order: list[str] = []

    async def ask(name: str) -> None:
        async with admission.slot(replace(make_context(), tenant=name, weight=1.0)):
            order.append(name)
            await asyncio.sleep(1)

    for _ in range(50):
        await ask("a")
    async with asyncio.TaskGroup() as group:
        for name in ("a",) * 10 + ("b",) * 10:
            group.create_task(ask(name))
    assert abs(order[50:60].count("a") - 5) <= 1


async def test_without_weights_it_is_first_come_first_served(make_context: Make) -> None:
    admission = Admission("model", QueueLimits(1, 100, 1000.0), asyncio.get_running_loop().time)
    order: list[int] = []

    async def ask(number: int, tenant: str) -> None:
        async with admission.slot(replace(make_context(), tenant=tenant)):
            order.append(number)
            await asyncio.sleep(1)

    async with asyncio.TaskGroup() as group:
        for number in range(10):
            group.create_task(ask(number, "ab"[number > 6]))
    assert order == list(range(10))


async def test_a_full_queue_has_room_for_who_has_had_less(make_context: Make) -> None:
    admission = Admission("model", QueueLimits(1, 4, 1000.0), asyncio.get_running_loop().time)
    served: list[str] = []
    refused: list[str] = []

    async def ask(name: str) -> None:
        try:
            async with admission.slot(replace(make_context(), tenant=name, weight=1.0)):
                served.append(name)
                await asyncio.sleep(1)
        except Overloaded:
            refused.append(name)

    async with asyncio.TaskGroup() as group:
        for name in "aaaaaab":
            group.create_task(ask(name))
    assert served[:2] == ["a", "b"]
    assert refused == ["a", "a"]


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from([INTERACTIVE, BATCH]), st.booleans()), max_size=60
    ),
    st.booleans(),
)
def test_everybody_is_served_once(comers: list[tuple[str, Priority, bool]], newest_first: bool) -> None:
    accounts = Shares()
    line: Line[int] = Line(accounts)
    waiting: dict[int, str] = {}
    served: list[int] = []
    for number, (tenant, priority, pops) in enumerate(comers):
        line.append(number, priority, tenant)
        waiting[number] = tenant
        if pops and (who := line.pop_next(newest_first=newest_first)) is not None:
            accounts.end(accounts.begin(waiting[who], 0.0), 1.0)
            served.append(who)
        assert len(line) == len(waiting) - len(served)
    while (who := line.pop_next(newest_first=newest_first)) is not None:
        accounts.begin(waiting[who], 0.0)
        served.append(who)
    assert sorted(served) == sorted(waiting)
    assert list(line) == []


def test_turns_of_a_tenant_that_has_had_nothing_are_few() -> None:
    accounts = Shares()
    line: Line[int] = Line(accounts)
    for number in range(20):
        line.append(number, INTERACTIVE, "loud")
    for _ in range(5):
        line.pop_next()
        accounts.end(accounts.begin("loud", 0.0), 1.0)
    assert line.num_turns(INTERACTIVE, tenant="loud") == 16
    assert line.num_turns(INTERACTIVE, tenant="new") <= 2


def test_accounts_of_tenants_that_owe_nothing_are_forgotten() -> None:
    accounts = Shares()
    for number in range(5000):
        accounts.come(f"t{number}", 1.0, is_new=True)
        accounts.end(accounts.begin(f"t{number}", 0.0), 0.0)
    assert len(accounts._accounts) <= 1025
