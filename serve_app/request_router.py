"""Which replica gets a call: Serve's choice of the better of two, by counts that forget no call of ours.

Serve's router counts a call when it sends it, and then believes what the replica says when it takes the call: how
many it had at that moment. Of calls that come together all are given a replica before the first of them is sent, so
none of them is counted, and one replica may get all; and the calls that are still on their way to a replica are
forgotten by its answers. In a burst both make one replica look idle that is not (docs/decisions/0026). So a call counts
from the moment that its replica is chosen, and a replica is never taken to have less than what this process has given
it.

A replica of which this process knows that it does not answer is left out while there are others
(`serve_app.routing.silence`).

A model whose engine keeps the keys and values of earlier prompts may have an affinity: requests of one conversation, or
whose prompts begin alike, come to the same replica (docs/decisions/0032).

Runs where the handles are: in the replicas of the ingress and of agents.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from ray.serve._private.common import ReplicaID, RequestMetadata
from ray.serve._private.request_router.common import PendingRequest, ReplicaQueueLengthCache
from ray.serve._private.request_router.pow_2_router import PowerOfTwoChoicesRequestRouter
from ray.serve._private.request_router.replica_wrapper import RunningReplica

from serve_app.channel.asked import Asked, Route
from serve_app.messages import RequestContext
from serve_app.routing.beginnings import Affinity, Beginnings, beginnings
from serve_app.routing.places import Doubts, Places


class CountedQueueLengths(ReplicaQueueLengthCache):
    """Serve's cache of queue lengths, with the calls that this process gave a replica as a floor."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._num_own: Counter[ReplicaID] = Counter()

    def chosen(self, replica_id: ReplicaID) -> None:
        """A call will be sent there."""
        self._num_own[replica_id] += 1

    def ended(self, replica_id: ReplicaID) -> None:
        """A call that it was chosen for is over, however it ended."""
        if self._num_own[replica_id] > 1:
            self._num_own[replica_id] -= 1
        else:
            del self._num_own[replica_id]

    def known(self, replica_id: ReplicaID) -> int:
        """Calls that a replica has, as far as is known here."""
        told = self.get(replica_id)
        return self._num_own[replica_id] if told is None else told

    def update(self, replica_id: ReplicaID, queue_len: int) -> None:
        """What is known of a replica now; Serve's own counting and the replica's answers both come here."""
        super().update(replica_id, max(queue_len, self._num_own[replica_id]))

    def remove_inactive_replicas(self, *, active_replica_ids: set[ReplicaID]) -> None:
        super().remove_inactive_replicas(active_replica_ids=active_replica_ids)
        for replica_id in [one for one in self._num_own if one not in active_replica_ids]:
            del self._num_own[replica_id]


class CountingRouter(PowerOfTwoChoicesRequestRouter):
    """The better of two, by CountedQueueLengths. Serve imports it by its name: `ROUTER`."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)  # type: ignore[no-untyped-call]
        self._counted = CountedQueueLengths(get_curr_time_s=self._get_curr_time_s)
        self._replica_queue_len_cache = self._counted

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        ranks = await super().choose_replicas(candidate_replicas, pending_request)
        answering = _answering(candidate_replicas, pending_request)
        if len(answering) == len(candidate_replicas):
            return ranks
        kept = [[one for one in rank if one in answering] for rank in ranks]
        return [rank for rank in kept if rank] or [answering]

    def _fulfill_next_pending_request(
        self, replica: RunningReplica, request_metadata: RequestMetadata | None = None
    ) -> None:
        num_waiting = len(self._pending_requests_by_id)
        super()._fulfill_next_pending_request(replica, request_metadata)
        if len(self._pending_requests_by_id) < num_waiting:  # else nobody waited any more
            self._counted.chosen(replica.replica_id)
            super().on_send_request(replica.replica_id)

    async def _choose_replica_for_request(
        self, pending_request: PendingRequest, *, is_retry: bool = False
    ) -> RunningReplica:
        route = _route(pending_request)
        if route is not None:
            route.goes_to(None)
        try:
            chosen = await super()._choose_replica_for_request(pending_request, is_retry=is_retry)
        except asyncio.CancelledError:
            future = pending_request.future
            if not future.cancelled():  # a replica was chosen, and the caller left before it was told
                self._counted.ended(future.result().replica_id)
                self.decrement_queue_len_cache(future.result().replica_id)
            raise
        if route is not None:
            route.goes_to(chosen.replica_id.unique_id)
        return chosen

    def on_send_request(self, replica_id: ReplicaID) -> None:
        """It was counted when the replica was chosen."""

    def on_request_completed(self, replica_id: ReplicaID, internal_request_id: str) -> None:
        self._counted.ended(replica_id)
        super().on_request_completed(replica_id, internal_request_id)


class AffineRouter(CountingRouter):
    """The replica that had a prompt's beginning before (`serve_app.routing.places`); else the better of two."""

    def initialize_state(self, *, affinity: Affinity) -> None:  # type: ignore[override]
        """Called by Serve with what the deployment's `request_router_kwargs` say."""
        self._affinity = affinity
        self._places = Places()
        self._doubts = Doubts(time.monotonic)

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        asked = None
        if pending_request is not None and not pending_request.metadata.multiplexed_model_id:
            asked = self._asked(pending_request.args)
        if pending_request is None or asked is None:
            return await super().choose_replicas(candidate_replicas, pending_request)
        pending_request.routing_context.should_backoff = True  # all replicas are among those returned
        answering = _answering(candidate_replicas, pending_request)
        loads = {one.replica_id.unique_id: self._counted.known(one.replica_id) for one in answering}
        prompt, context = asked
        settled = self._doubts.settled(context.request_id, loads, is_again=context.is_again)
        best = self._places.best(prompt, settled)
        first = [one for one in answering if one.replica_id.unique_id == best]
        return [first, [one for one in answering if one not in first]]

    def _fulfill_next_pending_request(
        self, replica: RunningReplica, request_metadata: RequestMetadata | None = None
    ) -> None:
        pending = self._get_pending_request_matching_internal_request_id(request_metadata)
        super()._fulfill_next_pending_request(replica, request_metadata)
        asked = None if pending is None else self._asked(pending.args)
        if asked is not None:
            prompt, context = asked
            self._places.sent(prompt, replica.replica_id.unique_id)
            self._doubts.sent(context.request_id, replica.replica_id.unique_id)

    def _asked(self, args: Sequence[Any]) -> tuple[Beginnings, RequestContext] | None:
        """What a call of ModelDeployment's methods asks, whichever way its answer takes."""
        match args:
            case [Asked(args=(_, dict() as body), context=context)]:
                pass
            case [_, dict() as body, RequestContext() as context]:
                pass
            case _:
                return None
        prompt = beginnings(body, context, self._affinity)
        return None if prompt is None else (prompt, context)

    def _get_pending_request_matching_metadata(
        self, request_metadata: RequestMetadata | None = None
    ) -> PendingRequest | None:
        """The request that the replica was chosen for, and not whoever waits longest."""
        return self._get_pending_request_matching_internal_request_id(request_metadata)


def _route(pending_request: PendingRequest | None) -> Route | None:
    """The Route of a call whose answer comes by the channel."""
    match pending_request.args if pending_request is not None else ():
        case [Asked(route=route)]:
            return route
        case _:
            return None


def _answering(
    candidates: list[RunningReplica], pending_request: PendingRequest | None
) -> list[RunningReplica]:
    """The replicas that answer, as far as is known here; all, if none does."""
    route = _route(pending_request)
    if route is None:
        return candidates
    return [one for one in candidates if not route.is_silent(one.replica_id.unique_id)] or candidates


ROUTER = f"{CountingRouter.__module__}:{CountingRouter.__name__}"
AFFINE_ROUTER = f"{AffineRouter.__module__}:{AffineRouter.__name__}"
