"""Whether something that works in steps still finishes them. Pure: time comes from the clock it is given.

Knows nothing of threads or engines: whoever works says when a step begins and when it ends, anybody asks.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from serve_app.errors import EngineFailed


class Progress:
    """The steps of one worker.

    Written by the worker, read by others: each method reads or writes one attribute, so no lock is needed.

    Args:
        name: of the engine, for messages.
        max_step_s: seconds that a step may take. The longest honest one must fit: for llama.cpp on two
            cores a piece of a prompt of a large model takes some 30 s.
        clock: seconds that never go back.
    """

    def __init__(self, name: str, max_step_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._max_step_s = max_step_s
        self._clock = clock
        self._began_s: float | None = None  # of the step under way; None: there is no work

    def begin(self) -> None:
        """A step begins; the one before it, if there was one, is finished."""
        self._began_s = self._clock()

    def rest(self) -> None:
        """The step is finished, and there is no work."""
        self._began_s = None

    def check(self) -> None:
        """Return if the worker rests or its step is young.

        Raises:
            EngineFailed: its step takes longer than any honest one.
        """
        began_s = self._began_s
        if began_s is None:
            return
        took_s = self._clock() - began_s
        if took_s > self._max_step_s:
            raise EngineFailed(
                f"the engine of {self._name} hangs: a step takes {took_s:.0f} s, and {self._max_step_s:g} s "
                "is the limit"
            )
