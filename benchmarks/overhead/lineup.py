"""What is compared in a run: a bare server, and the ways that are divided by it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Self

from benchmarks.application import Started
from benchmarks.errors import BenchmarkError
from benchmarks.overhead.bars import Bar

Running = Callable[[], AbstractContextManager[Started]]


@dataclass(frozen=True, slots=True)
class Contender:
    """A way from the engine to the client, as a server that can be started.

    Args:
        what: for a reader of the results.
        model: what a request names.
        running: its server, ready and stopped at the end; raises CannotStart.
        has_bars: whether the bars are for it; the others are told beside them.
    """

    name: str
    what: str
    model: str
    running: Running
    has_bars: bool = False


@dataclass(frozen=True, slots=True)
class Lineup:
    """One run's servers.

    Args:
        bare: what the bare server is.
        model: what a request to it names.
        bars: for the ways that have them.
        holds_length: whether answers must be asked for so many tokens.
    """

    bare: str
    model: str
    bare_running: Running
    contenders: tuple[Contender, ...]
    bars: tuple[Bar, ...]
    holds_length: bool

    def only(self, names: str | None) -> Self:
        """With some of its ways alone, by their names with commas between; None: all.

        Raises:
            BenchmarkError: there is no such way.
        """
        if names is None:
            return self
        wanted = names.split(",")
        known = [contender.name for contender in self.contenders]
        for name in wanted:
            if name not in known:
                raise BenchmarkError(f"no way {name!r}; there are: {', '.join(known)}")
        return replace(self, contenders=tuple(one for one in self.contenders if one.name in wanted))
