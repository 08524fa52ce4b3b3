"""What a burst does to the counts by which replicas are chosen. No Ray runs."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from typing import Any

import pytest
from ray.serve._private.common import DeploymentHandleSource, DeploymentID, ReplicaID
from ray.serve._private.request_router.pow_2_router import PowerOfTwoChoicesRequestRouter

from serve_app.request_router import ROUTER, CountedQueueLengths, CountingRouter

DEPLOYMENT = DeploymentID(name="Model", app_name="manta")
A, B = (ReplicaID(unique_id=name, deployment_id=DEPLOYMENT) for name in "ab")


@pytest.fixture
def lengths() -> CountedQueueLengths:
    return CountedQueueLengths(get_curr_time_s=lambda: 0.0)


def test_what_a_replica_says_does_not_hide_what_is_on_its_way(lengths: CountedQueueLengths) -> None:
    for _ in range(5):
        lengths.sent(A)
    lengths.update(A, 1)  # it had taken one of the five when it spoke
    assert lengths.get(A) == 5
    lengths.update(A, 9)  # others send to it, too
    assert lengths.get(A) == 9


def test_calls_that_are_over_count_no_more(lengths: CountedQueueLengths) -> None:
    lengths.sent(A)
    lengths.ended(A)
    lengths.ended(A)  # one end too many is not one call fewer than none
    lengths.update(A, 0)
    assert lengths.get(A) == 0
    lengths.sent(A)
    lengths.update(A, 0)
    assert lengths.get(A) == 1


def test_a_replica_that_is_gone_leaves_nothing(lengths: CountedQueueLengths) -> None:
    lengths.sent(A)
    lengths.remove_inactive_replicas(active_replica_ids={B})
    lengths.update(A, 0)
    assert lengths.get(A) == 0


def split(cls: type[PowerOfTwoChoicesRequestRouter], seed: int) -> Counter[ReplicaID]:
    """A burst of 16 calls on two idle replicas, whose answers come in between, as late as it happens."""
    rng = random.Random(seed)
    router: Any = cls(
        deployment_id=DEPLOYMENT,
        handle_source=DeploymentHandleSource.REPLICA,
        self_node_id="node",
        self_actor_id="actor",
        use_replica_queue_len_cache=True,
    )
    cache = router.replica_queue_len_cache
    taken: Counter[ReplicaID] = Counter()
    chosen: Counter[ReplicaID] = Counter()
    on_their_way: deque[ReplicaID] = deque()
    for replica_id in (A, B):
        cache.update(replica_id, 0)
    for _ in range(16):
        best = min(rng.sample((A, B), 2), key=lambda replica_id: cache.get(replica_id))
        router.on_send_request(best)
        chosen[best] += 1
        on_their_way.append(best)
        while on_their_way and rng.random() < 0.4:
            replica_id = on_their_way.popleft()
            taken[replica_id] += 1
            router.on_new_queue_len_info(replica_id, taken[replica_id])
    return chosen


async def test_a_burst_is_split_evenly() -> None:
    assert all(split(CountingRouter, seed)[A] == 8 for seed in range(50))
    # What it is for: Serve's own router gives one of them most of some bursts.
    assert max(max(split(PowerOfTwoChoicesRequestRouter, seed).values()) for seed in range(50)) >= 10


async def test_every_end_is_counted_once() -> None:
    router: Any = CountingRouter(
        deployment_id=DEPLOYMENT,
        handle_source=DeploymentHandleSource.REPLICA,
        self_node_id="node",
        self_actor_id="actor",
        use_replica_queue_len_cache=True,
    )
    for number in range(3):
        router.on_send_request(A)
        router.on_request_completed(A, str(number))
        router.decrement_queue_len_cache(A)
    assert router.replica_queue_len_cache.get(A) == 0
    await asyncio.sleep(0)


def test_serve_finds_it_by_its_name() -> None:
    assert ROUTER == "serve_app.request_router:CountingRouter"
