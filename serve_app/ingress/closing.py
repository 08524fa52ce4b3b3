"""The end of a replica of the ingress: what still runs when its grace time is over is told so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from serve_app.errors import MantaError
from serve_app.streams import Interrupt


class Closing:
    """The answers that are under way."""

    def __init__(self) -> None:
        self._running: set[Interrupt] = set()

    @contextmanager
    def running(self) -> Iterator[None]:
        """A block that `end_all` can end."""
        interrupt = Interrupt()
        self._running.add(interrupt)
        try:
            with interrupt:
                yield
        finally:
            self._running.discard(interrupt)

    def end_all(self, error: MantaError) -> int:
        """Make every running block raise `error`; how many there were."""
        return sum(interrupt.strike(error) for interrupt in list(self._running))
