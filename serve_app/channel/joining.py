"""How long frames wait for others, so that they travel together.

What a frame costs is the wake-up of everybody behind it: the receiver's loop, one task and one system
call for each stream in it. So the wait grows with the streams that share the connection: a single one
never waits, and many give up a few milliseconds for the half of a core that they would cost.
"""

from __future__ import annotations

# What one stream costs the receiver for each flush that has news of it, roughly: a task's wake-up, the
# response's wrappers, one `send`.
WAKE_UP_S = 60e-6
# Of one core, what a connection may cost its receiver with wake-ups.
MAX_SHARE = 0.5
MAX_WINDOW_S = 0.016  # three tokens of a model that makes one every 5 ms


def window_s(num_streams: int) -> float:
    """Shortest time between two flushes of a connection that so many streams share, in seconds."""
    return min(MAX_WINDOW_S, max(0, num_streams - 1) * WAKE_UP_S / MAX_SHARE)
