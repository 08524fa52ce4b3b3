"""What a burst does to the counts by which replicas are chosen. No Ray runs."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from ray.serve._private.common import DeploymentHandleSource, DeploymentID, ReplicaID, RequestMetadata
from ray.serve._private.request_router.common import PendingRequest
from ray.serve._private.request_router.pow_2_router import PowerOfTwoChoicesRequestRouter

from serve_app.channel.address import ChannelAddress, ReplyTo
from serve_app.channel.asked import Asked
from serve_app.messages import Endpoint, RequestContext
from serve_app.request_router import AFFINE_ROUTER, ROUTER, AffineRouter, CountedQueueLengths, CountingRouter

DEPLOYMENT = DeploymentID(name="Model", app_name="manta")
REPLY_TO = ReplyTo(ChannelAddress("listener", "node", "name", b"k" * 32), 1)
A, B, C = (ReplicaID(unique_id=name, deployment_id=DEPLOYMENT) for name in "abc")


@pytest.fixture
def lengths() -> CountedQueueLengths:
    return CountedQueueLengths(get_curr_time_s=lambda: 0.0)


def test_what_a_replica_says_does_not_hide_what_is_on_its_way(lengths: CountedQueueLengths) -> None:
    for _ in range(5):
        lengths.chosen(A)
    lengths.update(A, 1)  # it had taken one of the five when it spoke
    assert lengths.get(A) == 5
    lengths.update(A, 9)  # others send to it, too
    assert lengths.get(A) == 9


def test_calls_that_are_over_count_no_more(lengths: CountedQueueLengths) -> None:
    lengths.chosen(A)
    lengths.ended(A)
    lengths.ended(A)  # one end too many is not one call fewer than none
    lengths.update(A, 0)
    assert lengths.get(A) == 0
    lengths.chosen(A)
    lengths.update(A, 0)
    assert lengths.get(A) == 1


def test_a_replica_that_is_gone_leaves_nothing(lengths: CountedQueueLengths) -> None:
    lengths.chosen(A)
    lengths.remove_inactive_replicas(active_replica_ids={B})
    lengths.update(A, 0)
    assert lengths.get(A) == 0


class Replica:
    """What the router asks of one."""

    max_ongoing_requests = 100
    node_id = "node"
    availability_zone = None

    def __init__(self, replica_id: ReplicaID, *adapters: str) -> None:
        self.replica_id = replica_id
        self.multiplexed_model_ids = frozenset(adapters)

    async def get_queue_len(self, *, deadline_s: float) -> int:
        return 0


@pytest.fixture
def make_router() -> Callable[[type[PowerOfTwoChoicesRequestRouter]], Any]:
    """A router of two replicas, which it knows to be idle."""

    def make(cls: type[PowerOfTwoChoicesRequestRouter]) -> Any:
        router: Any = cls(
            deployment_id=DEPLOYMENT,
            handle_source=DeploymentHandleSource.REPLICA,
            self_node_id="node",
            self_actor_id="actor",
            use_replica_queue_len_cache=True,
        )
        router.update_replicas([Replica(A), Replica(B)])
        for replica_id in (A, B):
            router.on_new_queue_len_info(replica_id, 0)
        return router

    return make


def call(number: int, adapter: str = "") -> PendingRequest:
    metadata = RequestMetadata(
        request_id=str(number), internal_request_id=str(number), multiplexed_model_id=adapter
    )
    return PendingRequest(args=[], kwargs={}, metadata=metadata)


async def send(router: Any, number: int, adapter: str = "") -> ReplicaID:
    """As Serve's own caller does: choose, then send; which replica took it."""
    replica: Replica = await router._choose_replica_for_request(call(number, adapter))
    router.on_send_request(replica.replica_id)
    return replica.replica_id


async def split(router: Any) -> int:
    """16 calls that come together: how many the busier replica got."""
    chosen = Counter(await asyncio.gather(*(send(router, number) for number in range(16))))
    return max(chosen.values())


async def test_calls_that_come_together_are_split_evenly(make_router: Callable[..., Any]) -> None:
    for _ in range(20):
        assert await split(make_router(CountingRouter)) == 8


async def test_serves_own_router_splits_them_blindly(make_router: Callable[..., Any]) -> None:
    # What ours is for. When this fails Serve has mended it, and ours may go.
    assert max([await split(make_router(PowerOfTwoChoicesRequestRouter)) for _ in range(20)]) >= 10


async def test_answers_that_come_between_change_nothing(make_router: Callable[..., Any]) -> None:
    for seed in range(20):
        rng, router = random.Random(seed), make_router(CountingRouter)
        taken: Counter[ReplicaID] = Counter()
        chosen: Counter[ReplicaID] = Counter()
        on_their_way: deque[ReplicaID] = deque()
        for number in range(16):
            replica_id = await send(router, number)
            chosen[replica_id] += 1
            on_their_way.append(replica_id)
            while on_their_way and rng.random() < 0.4:
                answering = on_their_way.popleft()
                taken[answering] += 1
                router.on_new_queue_len_info(answering, taken[answering])
        assert max(chosen.values()) == 8


async def test_replicas_that_have_an_adapter_come_first(make_router: Callable[..., Any]) -> None:
    router = make_router(CountingRouter)
    router.update_replicas([Replica(A), Replica(B, "poet")])
    assert [await send(router, number, "poet") for number in range(6)] == [B] * 6
    others = Counter([await send(router, number) for number in range(6, 18)])
    assert others[A] > others[B]  # which is busier by now


async def test_every_end_is_counted_once(make_router: Callable[..., Any]) -> None:
    router = make_router(CountingRouter)
    for number in range(6):
        replica_id = await send(router, number)
        router.on_request_completed(replica_id, str(number))
        router.decrement_queue_len_cache(replica_id)
    cache = router.replica_queue_len_cache
    assert (cache.get(A), cache.get(B)) == (0, 0)


async def test_a_caller_that_leaves_before_it_is_told_counts_no_more(make_router: Callable[..., Any]) -> None:
    router = make_router(CountingRouter)
    for number in range(8):
        leaving = call(number)
        choosing = asyncio.create_task(router._choose_replica_for_request(leaving))
        while not leaving.future.done():  # noqa: ASYNC110 (what is waited for tells nobody)
            await asyncio.sleep(0)
        choosing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await choosing
    assert await split(router) == 8
    cache = router.replica_queue_len_cache
    assert (cache.get(A), cache.get(B)) == (8, 8)


class Heard:
    """A Route of a caller that knows these to be silent."""

    def __init__(self, *silent: ReplicaID) -> None:
        self._silent = {one.unique_id for one in silent}
        self.told: list[str | None] = []

    def is_silent(self, replica: str) -> bool:
        return replica in self._silent

    def goes_to(self, replica: str | None) -> None:
        self.told.append(replica)


@pytest.mark.parametrize("router_class", [CountingRouter, AffineRouter])
async def test_a_silent_replica_is_left_out(
    make_router: Callable[..., Any], context: RequestContext, router_class: type[CountingRouter]
) -> None:
    router = make_router(router_class)
    if router_class is AffineRouter:
        router.initialize_state(affinity="session")
    for number in range(20):
        asked, route = call(number), Heard(A)
        asked.args = [Asked((Endpoint.CHAT, {"user": str(number)}), context, REPLY_TO, route)]
        assert (await router._choose_replica_for_request(asked)).replica_id == B
        assert route.told == [None, "b"]


async def test_of_silent_replicas_alone_the_better_is_chosen(
    make_router: Callable[..., Any], context: RequestContext
) -> None:
    router = make_router(CountingRouter)
    chosen: Counter[ReplicaID] = Counter()
    for number in range(8):
        asked = call(number)
        asked.args = [Asked((), context, REPLY_TO, Heard(A, B))]
        chosen[(await router._choose_replica_for_request(asked)).replica_id] += 1
    assert chosen == {A: 4, B: 4}


async def test_another_is_found_where_both_of_the_two_are_silent(
    make_router: Callable[..., Any], context: RequestContext
) -> None:
    router = make_router(CountingRouter)
    router.update_replicas([Replica(A), Replica(B), Replica(C)])
    for number in range(20):
        asked = call(number)
        asked.args = [Asked((), context, REPLY_TO, Heard(A, B))]
        assert (await router._choose_replica_for_request(asked)).replica_id == C


def test_serve_finds_it_by_its_name() -> None:
    assert ROUTER == "serve_app.request_router:CountingRouter"
    assert AFFINE_ROUTER == "serve_app.request_router:AffineRouter"


# ------------------------------------------------------------ affinity


def conversation(
    number: int, user: str, context: RequestContext, *, is_channel: bool = True
) -> PendingRequest:
    """A request of a conversation, as it comes by the channel or by Serve's own way."""
    asked = call(number)
    body = {"user": user, "messages": []}
    if is_channel:
        asked.args = [Asked((Endpoint.CHAT, body), context, REPLY_TO)]
    else:
        asked.args = [Endpoint.CHAT, body, context]
    return asked


@pytest.fixture
def make_affine(make_router: Callable[..., Any]) -> Callable[[], Any]:
    def make() -> Any:
        router = make_router(AffineRouter)
        router.initialize_state(affinity="session")
        return router

    return make


async def place(router: Any, asked: PendingRequest) -> ReplicaID:
    replica: Replica = await router._choose_replica_for_request(asked)
    router.on_send_request(replica.replica_id)
    return replica.replica_id


def end(router: Any, replica_id: ReplicaID, asked: PendingRequest) -> None:
    router.on_request_completed(replica_id, asked.metadata.internal_request_id)
    router.decrement_queue_len_cache(replica_id)


async def test_a_conversation_stays_where_it_was_at_every_caller(
    make_affine: Callable[[], Any], context: RequestContext
) -> None:
    places: dict[str, set[ReplicaID]] = {}
    for is_channel in (True, False):
        router = make_affine()
        for number in range(60):
            asked = conversation(number, f"user-{number % 20}", context, is_channel=is_channel)
            replica_id = await place(router, asked)
            places.setdefault(f"user-{number % 20}", set()).add(replica_id)
            end(router, replica_id, asked)
    assert all(len(found) == 1 for found in places.values())
    assert set.union(*places.values()) == {A, B}


async def test_conversations_that_come_together_go_to_their_own_places(
    make_affine: Callable[[], Any], context: RequestContext
) -> None:
    # Serve may give a chosen replica to whoever waits longest; here it is for one request alone.
    alone = [
        await place(make_affine(), conversation(number, f"user-{number}", context)) for number in range(8)
    ]
    for first in range(0, 8, 2):
        router = make_affine()
        router.update_replicas([Replica(A), Replica(B)])
        pair = [conversation(number, f"user-{number}", context) for number in (first, first + 1)]
        together = await asyncio.gather(*(place(router, asked) for asked in pair))
        if alone[first] != alone[first + 1]:
            assert together == alone[first : first + 2]


async def test_a_replica_with_too_many_gets_no_more_by_affinity(
    make_affine: Callable[[], Any], context: RequestContext
) -> None:
    router = make_affine()
    found = Counter([await place(router, conversation(number, "one", context)) for number in range(40)])
    assert max(found.values()) <= 25  # 1.25 times its share


async def test_without_a_key_the_better_of_two_is_chosen(
    make_affine: Callable[[], Any], context: RequestContext
) -> None:
    router = make_affine()
    assert await split(router) == 8
    router = make_affine()
    found = Counter([await place(router, conversation(number, "", context)) for number in range(16)])
    assert found[A] == found[B] == 8


async def test_an_adapter_matters_more_than_affinity(
    make_affine: Callable[[], Any], context: RequestContext
) -> None:
    router = make_affine()
    router.update_replicas([Replica(A), Replica(B, "poet")])
    for number in range(6):
        asked = conversation(number, f"user-{number}", context)
        asked.metadata.multiplexed_model_id = "poet"
        assert await place(router, asked) == B


async def test_a_home_that_is_gone_leaves_its_keys_to_the_others(
    make_affine: Callable[[], Any], context: RequestContext
) -> None:
    router = make_affine()
    router.update_replicas([Replica(B)])
    assert {await place(router, conversation(number, f"user-{number}", context)) for number in range(8)} == {
        B
    }


async def test_a_request_that_is_asked_again_goes_elsewhere_and_so_do_others_for_a_while(
    make_affine: Callable[[], Any], context: RequestContext
) -> None:
    router = make_affine()
    first = await place(router, conversation(0, "one", context))
    again = await place(router, conversation(1, "one", context.again()))
    assert {first, again} == {A, B}
    other = replace(context, request_id="another")
    assert await place(router, conversation(2, "one", other)) == again
    assert await place(router, conversation(3, "two", other)) == again
