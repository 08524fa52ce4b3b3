"""What a queue is told and what it tells. Knows nothing of asyncio."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from serve_app.messages import Priority


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """How much one replica takes.

    Args:
        num_slots: requests that the engine works on at once.
        max_queued: requests that may wait for a slot, of both priorities together; 0: nobody waits.
        max_wait_s: no request waits longer.
    """

    num_slots: int
    max_queued: int
    max_wait_s: float

    def __post_init__(self) -> None:
        if self.num_slots < 1 or self.max_queued < 0 or not self.max_wait_s > 0:
            raise ValueError(f"{self}: needs a slot, and no negative number of places or seconds")


class Refusal(StrEnum):
    """Why a request got no slot; the label of a metric."""

    FULL = "full"  # every place in the queue is taken
    WAIT = "wait"  # it would have waited for longer than max_wait_s
    NO_TIME = "no_time"  # it would have waited until after its deadline
    PUSHED_OUT = "pushed_out"  # in an overload a newer one took its place
    DISPLACED = "displaced"  # a batch request that made room for an interactive one
    AGED = "aged"  # it waited for max_wait_s
    DEADLINE = "deadline"  # its deadline passed before it had a slot
    CLOSED = "closed"  # the replica stops


@dataclass(frozen=True, slots=True)
class QueueState:
    """A queue at one moment: for metrics and for the autoscaler, which may add up those of replicas.

    Args:
        num_queued: priority -> requests that wait; every priority is there.
        num_queued_tokens: of the requests that wait, as far as callers said how many they have.
        oldest_queued_s: how long the one that waits longest has; None: nobody waits.
        drain_rate_rps: requests a second that leave their slots while all are taken; None: not known yet.
        is_overload: the queue stands: few may wait, and the newest is served first.
        num_admitted: requests that had a slot, since the start.
        num_refused: reason -> requests that had none, since the start; reasons without one are absent.
        num_cancelled: requests whose caller left while they waited, since the start.
    """

    num_slots: int
    num_running: int
    max_queued: int
    num_queued: Mapping[Priority, int]
    num_queued_tokens: int
    oldest_queued_s: float | None
    drain_rate_rps: float | None
    is_overload: bool
    num_admitted: int
    num_refused: Mapping[Refusal, int] = field(default_factory=dict)
    num_cancelled: int = 0
