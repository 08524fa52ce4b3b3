"""Whether Serve's controller gave a process up while it stood still. docs/decisions/0009."""

from __future__ import annotations

# A controller on a machine without CPU to spare may be late with a question; none is late by this much.
MIN_SILENCE_S = 30.0
# Questions that waited in the connection come together, at most in two ticks. A third is of a controller that counts on
# this process.
_MIN_ASKED = 3


class Forgotten:
    """Tells of a process that was stopped and goes on whether it is still counted as a replica. Pure.

    The controller replaces a replica that does not answer and has it killed. Ray tells a process to end before it
    ends it, and where it cannot even tell it (the connection timed out), it drops the matter: the process keeps its
    memory, its device and its lease of them for as long as its node lives. Once it goes on, that nobody asks for its
    health is how it knows. A controller that is only away, while its node is restarted, stops nobody, so without a
    stop before it silence means nothing.

    Args:
        patience_s: for how long a replica may not answer until the controller gives it up.
    """

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self.has_stood_still = False
        self.unasked_s = 0.0
        self._num_asked = 0  # ticks, since it stood still

    def tick(self, elapsed_s: float, *, was_asked: bool) -> bool:
        """Whether it is forgotten.

        Args:
            elapsed_s: since the last tick; ticks are much shorter than the patience.
            was_asked: for its health, since the last tick.
        """
        if elapsed_s > self._patience_s:
            self.has_stood_still = True
            self.unasked_s, self._num_asked = 0.0, 0
        elif was_asked:
            self.unasked_s = 0.0
            self._num_asked += 1
            if self._num_asked >= _MIN_ASKED:
                self.has_stood_still = False
        else:
            self.unasked_s += elapsed_s
        return self.has_stood_still and self.unasked_s > max(self._patience_s, MIN_SILENCE_S)
