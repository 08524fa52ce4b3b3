"""Which replica gets a call: Serve's choice of the better of two, by counts that forget no call of ours.

Serve's router counts a call when it sends it, and then believes what the replica says when it takes the call: how
many it had at that moment. The calls that are still on their way to it are forgotten by that. In a burst of equals the
replica whose answer came last looks idle, and gets more than its half (docs/decisions/0026). So a replica is never
taken to have less than what this process has under way with it.

Runs where the handles are: in the replicas of the ingress and of agents.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from ray.serve._private.common import ReplicaID
from ray.serve._private.request_router.common import ReplicaQueueLengthCache
from ray.serve._private.request_router.pow_2_router import PowerOfTwoChoicesRequestRouter


class CountedQueueLengths(ReplicaQueueLengthCache):
    """Serve's cache of queue lengths, with the calls that are under way from here as a floor."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._num_own: Counter[ReplicaID] = Counter()

    def sent(self, replica_id: ReplicaID) -> None:
        """A call was sent there."""
        self._num_own[replica_id] += 1

    def ended(self, replica_id: ReplicaID) -> None:
        """A call that was sent there is over, however it ended."""
        if self._num_own[replica_id] > 1:
            self._num_own[replica_id] -= 1
        else:
            del self._num_own[replica_id]

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

    def on_send_request(self, replica_id: ReplicaID) -> None:
        self._counted.sent(replica_id)
        super().on_send_request(replica_id)

    def on_request_completed(self, replica_id: ReplicaID, internal_request_id: str) -> None:
        self._counted.ended(replica_id)
        super().on_request_completed(replica_id, internal_request_id)


ROUTER = f"{CountingRouter.__module__}:{CountingRouter.__name__}"
