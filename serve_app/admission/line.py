"""The order in which requests wait. Knows nothing of time or of asyncio.

Interactive before batch; first come first served, or the newest interactive request first (`overload` says when).
Batch keeps a share: one of ten slots that come free. What it gets while nobody
interactive waits counts, so only a batch that would get less than that goes before interactive requests. A share
bounds what batch can take from interactive users, however long an overload lasts; letting requests age into the
higher class would, after some minutes, put every batch request before the users that the classes are there to protect.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Generic, TypeVar

from serve_app.messages import Priority

_INTERACTIVE_PER_BATCH = 9  # slots given to interactive requests while batch waits, for each that batch has
_MAX_CREDIT = 10 * _INTERACTIVE_PER_BATCH  # slots that batch had before do not count for ever

T = TypeVar("T")


class Line(Generic[T]):
    """Those who wait, each once. Every operation takes the same time however many they are."""

    def __init__(self) -> None:
        # Linked lists: whoever leaves from the middle costs nothing.
        self._interactive: OrderedDict[T, None] = OrderedDict()
        self._batch: OrderedDict[T, None] = OrderedDict()
        # Slots given to interactive requests while batch waited, less what batch had for them.
        self._owed = 0

    def __len__(self) -> int:
        return len(self._interactive) + len(self._batch)

    def num(self, priority: Priority) -> int:
        return len(self._of(priority))

    def num_turns(self, priority: Priority, *, newest_first: bool = False) -> int:
        """Slots that have to come free until one is that of a newcomer, if nobody else comes."""
        num_interactive, num_batch = len(self._interactive), len(self._batch)
        if priority is Priority.INTERACTIVE:
            if newest_first:
                num_interactive = 0
            num_between = max(0, (num_interactive + self._owed) // _INTERACTIVE_PER_BATCH)
            return num_interactive + 1 + min(num_batch, num_between)
        num_before = (num_batch + 1) * _INTERACTIVE_PER_BATCH - self._owed
        return num_batch + 1 + min(num_interactive, num_before)

    def append(self, who: T, priority: Priority) -> None:
        self._of(priority)[who] = None

    def remove(self, who: T, priority: Priority) -> None:
        del self._of(priority)[who]

    def pop_next(self, *, newest_first: bool = False) -> T | None:
        """Whose turn it is; None: nobody waits.

        Args:
            newest_first: of the interactive ones. Batch requests are always served in their order.
        """
        if self._batch and (not self._interactive or self._owed >= _INTERACTIVE_PER_BATCH):
            self._owed = max(self._owed - _INTERACTIVE_PER_BATCH, -_MAX_CREDIT)
            return self._batch.popitem(last=False)[0]
        if self._interactive:
            self._owed += bool(self._batch)
            return self._interactive.popitem(last=newest_first)[0]
        return None

    def pop_youngest_batch(self) -> T | None:
        """Who gives up its place first; None: no batch request waits."""
        return self._batch.popitem()[0] if self._batch else None

    def pop_oldest_interactive(self) -> T | None:
        """Who gives up its place to a newer one; None: no interactive request waits."""
        return self._interactive.popitem(last=False)[0] if self._interactive else None

    def heads(self) -> tuple[T, ...]:
        """The first of each priority."""
        return tuple(next(iter(line)) for line in (self._interactive, self._batch) if line)

    def __iter__(self) -> Iterator[T]:
        yield from self._interactive
        yield from self._batch

    def _of(self, priority: Priority) -> OrderedDict[T, None]:
        return self._interactive if priority is Priority.INTERACTIVE else self._batch
