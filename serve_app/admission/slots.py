"""Slots, and how fast they come free. Knows nothing of who waits for them.

The drain rate is ends per slot-second: requests that left their slots, over the time that slots were taken,
times the number of slots. Both sums are forgotten as slot-time passes, so that the last rounds count. Against a mean
 of the times between two ends it has these advantages:
- it is known before the slots were ever all taken at once, and idle slots do not lower it;
- requests that begin and end together, as a batch does, give the same rate as those that take turns;
- requests that still run count with the time they have taken so far (as a rate of events under censoring is
  estimated), so short ones that end first do not make it too high, and an engine that hangs lowers it.
"""

from __future__ import annotations

import math

# Ends after which the estimate is trusted to refuse somebody.
NUM_TRUSTED_ENDS = 4
# The estimate remembers two rounds of the slots, and never fewer ends than this: the error of a rate made of n
# ends is about 1 / sqrt(n).
MIN_MEMORY_ENDS = 32


class Slots:
    """A number of slots, and their drain rate. `now` never goes back."""

    def __init__(self, num_slots: int, now: float) -> None:
        self.num_slots = num_slots
        self.num_running = 0
        self.num_begun = 0
        self._changed_s = now
        self._slot_seconds = 0.0  # that slots were taken; forgotten
        self._ends = 0.0  # likewise
        self._num_ended = 0
        self._memory_ends = max(MIN_MEMORY_ENDS, 2 * num_slots)

    def has_free(self) -> bool:
        return self.num_running < self.num_slots

    def take(self, now: float) -> None:
        self._advance(now)
        self.num_running += 1
        self.num_begun += 1

    def give_back(self, now: float) -> None:
        self._end(now)
        self.num_running -= 1

    def pass_on(self, now: float) -> None:
        """One request ends and another begins in its slot."""
        self._end(now)
        self.num_begun += 1

    def drain_rate_rps(self, now: float) -> float | None:
        """Requests a second that leave while all slots are taken; None: not known well enough."""
        if self._num_ended < NUM_TRUSTED_ENDS:
            return None
        return self._rate_rps(now)

    def best_drain_rate_rps(self, now: float) -> float | None:
        """The same from the start: until the first end as if it came now. None: nothing ever began."""
        return self._rate_rps(now)

    def _rate_rps(self, now: float) -> float | None:
        self._advance(now)
        if self._slot_seconds <= 0.0:
            return None
        return self.num_slots * (self._ends or 1.0) / self._slot_seconds

    def _advance(self, now: float) -> None:
        new = self.num_running * (now - self._changed_s)
        self._changed_s = now
        if new > 0.0:
            total = self._slot_seconds + new
            # The share of the memory that this time is, by what a request takes (total / ends). By time and not by
            # ends, or else those that end together would be counted with less and less of their time.
            keeps = math.exp(-new * self._ends / (total * self._memory_ends))
            self._slot_seconds = self._slot_seconds * keeps + new
            self._ends *= keeps

    def _end(self, now: float) -> None:
        self._advance(now)
        self._ends += 1.0
        self._num_ended += 1
