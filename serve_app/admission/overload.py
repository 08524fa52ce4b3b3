"""Whether a queue is a burst's or an overload's. Knows nothing of who waits.

A queue that comes and goes turns a burst into a delay, and that is what it is for. One that stands gives nothing
to anybody: the slots are as busy with a few requests waiting as with a hundred, and everybody waits for the hundred.
So a queue that has stood for a while is kept short, and the newest request is served first: those who are served
have hardly waited, and those who are not are told so soon, by the newer ones that take their places.

Newest first under overload, and times that are short once a queue stands, are what servers do who need an answer
in time rather than every answer (B. Maurer, "Fail at Scale", ACM Queue 13(8), 2015, after K. Nichols, V. Jacobson,
"Controlling Queue Delay", ACM Queue 10(5), 2012). Shortening the queue by pushing out the oldest, instead of letting
it age, is what makes the refusals quick. tests/unit/admission/test_disciplines.py compares the alternatives: in
order with refusal by the expected wait alone, and newest first with a long queue.
"""

from __future__ import annotations

# The length at which a queue counts as one that stands, and at which it is kept in an overload, as a share of
# the slots: nobody who is served then waits for longer than about this share of an answer's time. At least
# three, so that a slot that comes free finds somebody; and no more than there are places.
STANDING_SHARE = 0.25
MIN_STANDING = 3
# How long a queue stands before it is an overload's: what a request takes, in which the slots turn over once,
# and not less than a second, which nobody minds.
SPAN_HOLDS = 1.0
MIN_SPAN_S = 1.0


class OverloadWatch:
    """Looks at the queue's length at each change.

    An overload begins when the queue has stood for the span; a time with a shorter queue takes as much
    back. It ends when all of the span is taken back, so that a lucky moment does not end it.
    """

    def __init__(self, num_slots: int, max_queued: int, now: float) -> None:
        self.num_standing = max(1, min(max_queued, max(MIN_STANDING, round(STANDING_SHARE * num_slots))))
        self.is_overload = False
        self._num_slots = num_slots
        self._stood = 0.0  # of the span; from 0 to 1
        self._is_long = False
        self._looked_s = now

    def look(self, now: float, num_queued: int, drain_rate_rps: float | None) -> None:
        """To be told whenever the queue has changed, or is asked about."""
        # Before the rate is known nobody can tell what long is for this engine.
        if drain_rate_rps is not None and (self._is_long or self._stood > 0.0):
            step = (now - self._looked_s) / self._span_s(drain_rate_rps)
            self._stood = min(1.0, max(0.0, self._stood + (step if self._is_long else -step)))
            if self._stood in (0.0, 1.0):
                self.is_overload = self._stood == 1.0
        self._looked_s = now
        self._is_long = num_queued >= self.num_standing

    def soonest_end_s(self, drain_rate_rps: float) -> float:
        """Seconds from the last look until the overload can be over; 0: there is none."""
        return self._stood * self._span_s(drain_rate_rps) if self.is_overload else 0.0

    def _span_s(self, drain_rate_rps: float) -> float:
        return max(MIN_SPAN_S, SPAN_HOLDS * self._num_slots / drain_rate_rps)
