"""The order in which requests wait. Knows nothing of time or of asyncio.

Interactive before batch; first come first served, or the newest interactive request first (`overload` says when).
Batch keeps a share: one of ten slots that come free. What it gets while nobody
interactive waits counts, so only a batch that would get less than that goes before interactive requests. A share
bounds what batch can take from interactive users, however long an overload lasts; letting requests age into the
higher class would, after some minutes, put every batch request before the users that the classes are there to protect.

Among tenants, where requests say whose they are, the one that has had least for its weight is next (`shares`), and who
gives up a place is of the tenant that has had most. Without that all are one tenant's.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator
from typing import Generic, TypeVar

from serve_app.admission.shares import Shares
from serve_app.messages import Priority

_INTERACTIVE_PER_BATCH = 9  # slots given to interactive requests while batch waits, for each that batch has
_MAX_CREDIT = 10 * _INTERACTIVE_PER_BATCH  # slots that batch had before do not count for ever
NOBODY = ""  # the tenant of requests that do not say whose they are

T = TypeVar("T")


class Line(Generic[T]):
    """Those who wait, each once. Every operation takes the same time however many they are of one tenant."""

    def __init__(self, shares: Shares | None = None) -> None:
        self._shares = shares or Shares()
        self._interactive: _Queues[T] = _Queues(self._shares)
        self._batch: _Queues[T] = _Queues(self._shares)
        # Slots given to interactive requests while batch waited, less what batch had for them.
        self._owed = 0

    def __len__(self) -> int:
        return len(self._interactive) + len(self._batch)

    def num(self, priority: Priority) -> int:
        return len(self._of(priority))

    def num_turns(self, priority: Priority, *, newest_first: bool = False, tenant: str = NOBODY) -> int:
        """Slots that have to come free until one is that of a newcomer, if nobody else comes.

        Exact for one tenant; with several about right, because it depends on what their requests will take.
        """
        num_interactive, num_batch = len(self._interactive), len(self._batch)
        if priority is Priority.INTERACTIVE:
            num_before = self._interactive.num_before(tenant, newest_first=newest_first)
            num_between = max(0, (num_before + self._owed) // _INTERACTIVE_PER_BATCH)
            return num_before + 1 + min(num_batch, num_between)
        num_batch = self._batch.num_before(tenant, newest_first=False)
        num_before = (num_batch + 1) * _INTERACTIVE_PER_BATCH - self._owed
        return num_batch + 1 + min(num_interactive, num_before)

    def append(self, who: T, priority: Priority, tenant: str = NOBODY, weight: float = 1.0) -> None:
        if tenant:
            is_new = not (self._interactive.has(tenant) or self._batch.has(tenant))
            self._shares.come(tenant, weight, is_new=is_new)
        self._of(priority).append(who, tenant)

    def remove(self, who: T, priority: Priority, tenant: str = NOBODY) -> None:
        self._of(priority).remove(who, tenant)

    def pop_next(self, *, newest_first: bool = False) -> T | None:
        """Whose turn it is; None: nobody waits.

        Args:
            newest_first: of the interactive ones. Batch requests are always served in their order.
        """
        if self._batch and (not self._interactive or self._owed >= _INTERACTIVE_PER_BATCH):
            self._owed = max(self._owed - _INTERACTIVE_PER_BATCH, -_MAX_CREDIT)
            return self._batch.pop_next()
        if self._interactive:
            self._owed += bool(self._batch)
            return self._interactive.pop_next(newest_first=newest_first)
        return None

    def pop_youngest_batch(self) -> T | None:
        """Who gives up its place first; None: no batch request waits."""
        return self._batch.pop_of_fullest(newest=True)

    def pop_oldest_interactive(self, newcomer: str = NOBODY) -> T | None:
        """Who gives up its place to a newer one of that tenant; None: nobody has had more than the newcomer."""
        return self._interactive.pop_of_fullest(newcomer, newest=False)

    def pop_of_richer(self, newcomer: str) -> T | None:
        """Who gives up its place to an interactive one of a tenant that has had less; None: nobody has to."""
        fullest = self._interactive.fullest(newcomer)
        return (
            None if fullest in (None, newcomer) else self._interactive.pop_of_fullest(newcomer, newest=True)
        )

    def heads(self) -> tuple[T, ...]:
        """The first of each priority and tenant."""
        return (*self._interactive.heads(), *self._batch.heads())

    def __iter__(self) -> Iterator[T]:
        yield from self._interactive
        yield from self._batch

    def _of(self, priority: Priority) -> _Queues[T]:
        return self._interactive if priority is Priority.INTERACTIVE else self._batch


class _Queues(Generic[T]):
    """Those of one priority, by tenant."""

    __slots__ = ("_num", "_queues", "_shares")

    def __init__(self, shares: Shares) -> None:
        self._shares = shares
        # tenant -> linked list: whoever leaves from the middle costs nothing. No list is empty.
        self._queues: dict[str, OrderedDict[T, None]] = {}
        self._num = 0

    def __len__(self) -> int:
        return self._num

    def __iter__(self) -> Iterator[T]:
        for queue in self._queues.values():
            yield from queue

    def has(self, tenant: str) -> bool:
        return tenant in self._queues

    def heads(self) -> tuple[T, ...]:
        return tuple(next(iter(queue)) for queue in self._queues.values())

    def append(self, who: T, tenant: str) -> None:
        self._queues.setdefault(tenant, OrderedDict())[who] = None
        self._num += 1

    def remove(self, who: T, tenant: str) -> None:
        del self._queues[tenant][who]
        self._lost_one(tenant)

    def pop_next(self, *, newest_first: bool = False) -> T:
        tenant = (
            next(iter(self._queues)) if len(self._queues) == 1 else min(self._queues, key=self._shares.used)
        )
        return self._pop(tenant, newest=newest_first)

    def pop_of_fullest(self, newcomer: str = NOBODY, *, newest: bool) -> T | None:
        """One of the tenant that has had most, with what of its requests waits; None: that has nobody waiting."""
        tenant = self.fullest(newcomer)
        return None if tenant is None or tenant not in self._queues else self._pop(tenant, newest=newest)

    def fullest(self, newcomer: str) -> str | None:
        """The tenant that has had most, counting those who wait and the newcomer; None: nobody waits."""
        if not self._queues:
            return None
        if len(self._queues) == 1 and (newcomer in self._queues or not newcomer):
            return next(iter(self._queues))
        tags = {
            one: self._shares.used(one, len(queue) + (one == newcomer)) for one, queue in self._queues.items()
        }
        if newcomer and newcomer not in tags:
            tags[newcomer] = self._shares.used(newcomer, 1)
        return max(tags, key=tags.__getitem__)

    def num_before(self, tenant: str, *, newest_first: bool) -> int:
        """Requests of this priority that begin before a newcomer of the tenant's."""
        own = self._queues.get(tenant)
        num_own = 0 if own is None or newest_first else len(own)
        if len(self._queues) == (own is not None):
            return num_own
        tag = self._shares.used(tenant, num_own)
        others = (
            min(len(queue), math.ceil(self._shares.num_before(one, tag)))
            for one, queue in self._queues.items()
            if one != tenant and one
        )
        return num_own + sum(others)

    def _pop(self, tenant: str, *, newest: bool) -> T:
        who = self._queues[tenant].popitem(last=newest)[0]
        self._lost_one(tenant)
        return who

    def _lost_one(self, tenant: str) -> None:
        self._num -= 1
        if not self._queues[tenant]:
            del self._queues[tenant]
