"""Whether a queue is a burst's or an overload's. Knows nothing of who waits.

A queue that comes and goes turns a burst into a delay, and that is what it is for. One that stands at the longest
wait that is allowed gives nothing to anybody: the slots are as busy with a few requests waiting as with a hundred,
and everybody waits for the hundred. So in an overload the queue is kept short, and the newest request is served
first: those who are served have hardly waited, and those who are not are told so soon, by the newer ones that take
their places.

Newest first under overload, and waits that are short once a queue stands, are what servers do who need an answer
in time rather than every answer (B. Maurer, "Fail at Scale", ACM Queue 13(8), 2015, after K. Nichols, V. Jacobson,
"Controlling Queue Delay", ACM Queue 10(5), 2012). Shortening the queue by pushing out the oldest, instead of letting
it age, is what makes the refusals quick. tests/unit/admission/test_disciplines.py compares the alternatives: in
order with refusal by the expected wait alone, and newest first with a long queue.

What stands is measured against the longest wait that the operator allows, not against what an answer takes: a
number of callers who each wait for their answer before they ask again make a queue that stands, too, and as long as
it is within the allowed wait they are served in order, and nobody is refused.
"""

from __future__ import annotations

# A queue is long when a newcomer would wait for this share of the longest wait, or when this share of the places is
# taken. Not at all of either: there newcomers are refused, and those who leave make it shorter for moments. The wait
# is an estimate, so it needs more room.
LONG_WAIT_SHARE = 0.75
LONG_PLACES_SHARE = 0.9
# Who waits in an overload, as a share of the slots: so that nobody who is served has waited for more than about this
# share of an answer's time. At least three, so that a slot that comes free finds somebody.
KEPT_SHARE = 0.25
MIN_KEPT = 3
# In an overload the queue is long while it has this share of what is kept. Newer requests take the places of older
# ones all the time, but just above the capacity the places are not all taken all the time.
FILLED_SHARE = 0.5
# How long a queue is long before it is an overload's: what a request takes, in which the slots turn over once,
# and not less than a second.
SPAN_HOLDS = 1.0
MIN_SPAN_S = 1.0


class OverloadWatch:
    """Looks at the queue's length at each change.

    An overload begins when the queue has been long for the span; a time in which it was not takes as much
    back. It ends when all of the span is taken back, so that a lucky moment does not end it.
    """

    def __init__(self, num_slots: int, max_queued: int, max_wait_s: float, now: float) -> None:
        self.is_overload = False
        self._num_slots = num_slots
        self._max_queued = max_queued
        self._max_wait_s = max_wait_s
        self._stood = 0.0  # of the span; from 0 to 1
        self._is_long = False
        self._looked_s = now

    def look(self, now: float, num_queued: int, num_turns: int, drain_rate_rps: float | None) -> None:
        """To be told whenever the queue has changed, or is asked about.

        Args:
            num_queued: interactive requests that wait.
            num_turns: slots that have to come free until one would be a newcomer's, in order.
        """
        # Before the rate is known nobody can tell what long is for this engine.
        if drain_rate_rps is not None:
            if self._is_long or self._stood > 0.0:
                step = (now - self._looked_s) / self._span_s(drain_rate_rps)
                self._stood = min(1.0, max(0.0, self._stood + (step if self._is_long else -step)))
                if self._stood in (0.0, 1.0):
                    self.is_overload = self._stood == 1.0
            self._is_long = num_queued > 0 and self._is_queue_long(num_queued, num_turns, drain_rate_rps)
        self._looked_s = now

    def num_kept(self, drain_rate_rps: float | None) -> int:
        """Interactive requests that may wait in an overload."""
        num = min(self._max_queued, max(MIN_KEPT, round(KEPT_SHARE * self._num_slots)))
        if drain_rate_rps is not None:
            num = min(num, int(self._max_wait_s * drain_rate_rps))
        return max(1, num)

    def soonest_end_s(self, drain_rate_rps: float) -> float:
        """Seconds from the last look until the overload can be over; 0: there is none."""
        return self._stood * self._span_s(drain_rate_rps) if self.is_overload else 0.0

    def _is_queue_long(self, num_queued: int, num_turns: int, drain_rate_rps: float) -> bool:
        if self.is_overload:
            return num_queued >= FILLED_SHARE * self.num_kept(drain_rate_rps)
        waits_long = num_turns >= LONG_WAIT_SHARE * self._max_wait_s * drain_rate_rps
        return waits_long or num_queued >= LONG_PLACES_SHARE * self._max_queued

    def _span_s(self, drain_rate_rps: float) -> float:
        return max(MIN_SPAN_S, SPAN_HOLDS * self._num_slots / drain_rate_rps)
