from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from configs.schema import KeysConfig
from serve_app.errors import Unauthenticated, Unavailable
from serve_app.identity.base import KeyChanges, KeyRecord, Role
from serve_app.identity.key_ring import KeyRing
from serve_app.identity.keys import NewKey, make_key


class FakeKeys:
    """A store that can be gone, and counts what it is asked."""

    def __init__(self) -> None:
        self.records: dict[str, tuple[int, KeyRecord]] = {}
        self.generation = 0
        self.is_gone = False
        self.num_reads = 0

    async def put(self, record: KeyRecord) -> None:
        self.generation += 1
        self.records[record.id] = (self.generation, record)

    async def changes(self, since: int) -> KeyChanges:
        self.num_reads += 1
        await asyncio.sleep(0)
        if self.is_gone:
            raise Unavailable("gone")
        return KeyChanges(
            self.generation, tuple(record for number, record in self.records.values() if number > since)
        )

    async def close(self) -> None: ...


@pytest.fixture
def store() -> FakeKeys:
    return FakeKeys()


class Time:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def ring(store: FakeKeys, clock: Time) -> KeyRing:
    return KeyRing(store, KeysConfig(max_stale_s=600), clock=clock, wall_clock=lambda: 1_700_000_000.0)


async def added(store: FakeKeys) -> NewKey:
    made = make_key("x", "t", Role.USER, 0.0)
    await store.put(made.record)
    return made


async def test_the_first_requests_wait_for_one_reading(ring: KeyRing, store: FakeKeys) -> None:
    made = await added(store)
    known = await asyncio.gather(*(ring.principal(made.key) for _ in range(20)))
    assert {who.id for who in known} == {made.record.id}
    assert store.num_reads == 1


async def test_a_revoked_key_is_refused_after_the_next_look(ring: KeyRing, store: FakeKeys) -> None:
    made = await added(store)
    await ring.refresh()
    await ring.principal(made.key)
    await store.put(replace(made.record, revoked_at_s=1.0))
    await ring.refresh()
    with pytest.raises(Unauthenticated, match="revoked"):
        await ring.principal(made.key)
    assert KeysConfig.model_fields["poll_s"].metadata  # bounded, so that "the next look" is soon
    with pytest.raises(ValueError, match="less than or equal to 4"):
        KeysConfig(poll_s=4.5)


async def test_keys_stay_good_while_the_store_is_gone_but_not_for_ever(
    ring: KeyRing, store: FakeKeys, clock: Time
) -> None:
    made = await added(store)
    await ring.refresh()
    store.is_gone = True
    with pytest.raises(Unavailable):
        await ring.refresh()
    clock.now_s += 599
    await ring.principal(made.key)
    clock.now_s += 2
    with pytest.raises(Unavailable, match="too long"):
        await ring.principal(made.key)


async def test_without_a_first_reading_nobody_is_let_in(ring: KeyRing, store: FakeKeys) -> None:
    made = await added(store)
    store.is_gone = True
    with pytest.raises(Unavailable):
        await ring.principal(made.key)


async def test_ten_thousand_unknown_keys_cost_the_store_nothing_and_take_no_memory(
    ring: KeyRing, store: FakeKeys
) -> None:
    made = await added(store)
    await ring.refresh()
    num_reads = store.num_reads
    base = make_key("x", "t", Role.USER, 0.0).key
    for number in range(10_000):
        digits = f"{number:05d}".translate(str.maketrans("0189", "abcd"))
        with pytest.raises(Unauthenticated):
            await ring.principal(base[:-5] + digits)
    assert store.num_reads == num_reads
    assert len(ring._records) == 1
    await ring.principal(made.key)


async def test_keys_of_a_store_that_was_emptied_are_forgotten(ring: KeyRing, store: FakeKeys) -> None:
    old = await added(store)
    await added(store)
    await ring.refresh()
    store.records.clear()
    store.generation = 0
    await ring.refresh()
    with pytest.raises(Unauthenticated):
        await ring.principal(old.key)
