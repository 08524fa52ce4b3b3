"""Whether vLLM's engine still works, seen from outside. Pure: readings and time are handed in.

vLLM's own /health tells an engine that died from one that runs, and nothing of one that hangs. While requests run,
something must move: bytes of an answer, or one of the engine's own counters.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from serve_app.errors import EngineFailed

# Silence after which the counters are read: a step of a small model is a hundred times shorter.
QUIET_S = 5.0


class Liveness:
    """The signs of life of one engine.

    Args:
        name: of the model, for messages.
        max_silence_s: with requests running and without a sign; then it hangs.
        clock: seconds that never go back.
    """

    def __init__(self, name: str, max_silence_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._max_silence_s = max_silence_s
        self._clock = clock
        self._num_running = 0
        self._heard_s = clock()
        self._counted: float | None = None

    def begin(self) -> None:
        """A request begins. The first one after a rest starts the time."""
        if self._num_running == 0:
            self._heard_s = self._clock()
        self._num_running += 1

    def end(self) -> None:
        self._num_running -= 1

    def hear(self) -> None:
        """Bytes of an answer came."""
        self._heard_s = self._clock()

    @property
    def is_quiet(self) -> bool:
        """There is work and no sign of it: it is time to read the counters."""
        return self._num_running > 0 and self._clock() - self._heard_s > QUIET_S

    def count(self, total: float) -> None:
        """The sum of the engine's counters; any change is a sign of life."""
        if total != self._counted:
            self._counted = total
            self.hear()

    def check(self) -> None:
        """Raise EngineFailed if there was no sign of life for too long."""
        silence_s = self._clock() - self._heard_s
        if self._num_running > 0 and silence_s > self._max_silence_s:
            raise EngineFailed(
                f"the engine of {self._name} hangs: {self._num_running} requests run, and nothing has moved for "
                f"{silence_s:.0f} s; {self._max_silence_s:g} s is the limit"
            )
