"""How long frames wait for others, so that they travel together.

What a frame costs is the wake-up of everybody behind it: the receiver's loop, one task and one system
call for each stream in it. As long as the receiver can afford that, no frame waits. Beyond it they wait so long
that the wake-ups of all streams take no more than their share of a core: many streams give up a few
milliseconds for the core that they would cost.
"""

from __future__ import annotations

# What one stream costs the receiver for each flush that has news of it, roughly: a task's wake-up, the
# response's wrappers, one `send`.
WAKE_UP_S = 60e-6
# The same where the receiver is an agent: it reads what comes, and wakes up its own reader with what it makes of it.
AGENT_WAKE_UP_S = 2 * WAKE_UP_S
# Of one core, what a connection may cost its receiver with wake-ups.
MAX_SHARE = 0.6
MAX_WINDOW_S = 0.02  # four tokens of a model that makes one every 5 ms
# So long frames wait for those of other streams when several come in that time: the system calls and the wake-ups
# of the receiver's loop that it saves are worth more than a fifth of a token's time.
GATHER_S = 0.001
# Over which frames are counted: long against the gaps between tokens, short against a change of load.
COUNT_S = 0.1


class Rate:
    """How often something happens, over the last COUNT_S or so.

    Args:
        now_s: when it begins, on any clock that never goes back.
    """

    __slots__ = ("_num", "_per_s", "_since_s")

    def __init__(self, now_s: float) -> None:
        self._since_s = now_s
        self._num = 0
        self._per_s = 0.0

    def count(self) -> None:
        """It happens."""
        self._num += 1

    def per_s(self, now_s: float) -> float:
        elapsed_s = now_s - self._since_s
        if elapsed_s >= COUNT_S:
            self._per_s = self._num / elapsed_s
            self._since_s, self._num = now_s, 0
        return self._per_s


class Joining:
    """How one connection's frames are joined.

    Args:
        now_s: when it begins, on any clock that never goes back.
        wake_up_s: what a stream's news cost the receiver, in seconds.
    """

    __slots__ = ("_frames", "_wake_up_s", "frame")

    def __init__(self, now_s: float, wake_up_s: float = WAKE_UP_S) -> None:
        self._frames = Rate(now_s)
        self._wake_up_s = wake_up_s
        self.frame = self._frames.count  # a stream has a frame to send

    def window_s(self, num_streams: int, now_s: float) -> float:
        """Shortest time between two flushes of a connection that so many streams share, in seconds."""
        rate = self._frames.per_s(now_s)
        if rate * self._wake_up_s <= MAX_SHARE:
            return GATHER_S if rate * GATHER_S >= 2 else 0.0
        return min(MAX_WINDOW_S, num_streams * self._wake_up_s / MAX_SHARE)
