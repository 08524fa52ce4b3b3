"""Whether an engine fails too often to be believed. Pure."""

from __future__ import annotations

from serve_app.errors import EngineFailed


class FailuresInRow:
    """Counts what an engine failed since it last did something right.

    One request can be at fault itself, several in a row that have nothing in common are the engine's fault: a
    replica with broken memory, or with weights that changed under it, fails them all.

    Args:
        name: of the engine, for messages.
        max_failures: so many in a row make it unhealthy.
    """

    def __init__(self, name: str, max_failures: int) -> None:
        self._name = name
        self._max_failures = max_failures
        self._num_failures = 0
        self._last = ""

    def failed(self, reason: str) -> None:
        self._num_failures += 1
        self._last = reason

    def succeeded(self) -> None:
        self._num_failures = 0

    def check(self) -> None:
        """Return if the engine is to be believed.

        Raises:
            EngineFailed: the last `max_failures` or more all failed; it gives the last reason.
        """
        if self._num_failures >= self._max_failures:
            raise EngineFailed(
                f"{self._name} failed {self._num_failures} times in a row, the last time because: {self._last}"
            )
