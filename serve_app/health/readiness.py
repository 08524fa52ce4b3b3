"""Which dependencies can work, asked of all of them at once, for everybody who wants to know.

Knows nothing of HTTP: gives a state for each dependency.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, replace

from serve_app.errors import MantaError

logger = logging.getLogger("manta.health")

Probe = Callable[[], Awaitable[None]]  # returns if the dependency can work, raises why it cannot
Explain = Callable[
    [], Coroutine[None, None, Mapping[str, str]]
]  # gives dependency -> what keeps it from answering

_EXPLAIN_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class State:
    """What a probe found."""

    took_s: float
    reason: str | None = None  # why it cannot work; None: it can
    is_silent: bool = False  # it did not say so itself

    @property
    def is_ready(self) -> bool:
        return self.reason is None


class Readiness:
    """The states of all dependencies, at most `keep_s` old.

    However many ask, each dependency is probed by one call at a time: a flood of questions costs what one does.

    Args:
        probes: by the dependency's name.
        timeout_s: for each probe; they run side by side.
        explain: is asked about those that did not answer; None: nobody knows more.
        keep_s: seconds for which an answer is given again.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        probes: Mapping[str, Probe],
        timeout_s: float,
        explain: Explain | None = None,
        keep_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._probes = probes
        self._timeout_s = timeout_s
        self._explain = explain
        self._keep_s = keep_s
        self._clock = clock
        self._asking: asyncio.Task[dict[str, State]] | None = None
        self._answered_s: float | None = None
        self._explaining: asyncio.Task[Mapping[str, str]] | None = None

    async def states(self) -> dict[str, State]:
        """Dependency -> its state, in the order of the probes."""
        asking = self._asking
        if asking is None or (asking.done() and not self._is_fresh()):
            self._answered_s = None
            # Not the caller's own: the one who asked first may leave while others wait for the same answer.
            asking = self._asking = asyncio.create_task(self._ask())
        return await asyncio.shield(asking)

    def _is_fresh(self) -> bool:
        return self._answered_s is not None and self._clock() - self._answered_s < self._keep_s

    async def _ask(self) -> dict[str, State]:
        probing = (self._probe(name, probe) for name, probe in self._probes.items())
        states = dict(zip(self._probes, await asyncio.gather(*probing), strict=True))
        silent = {name: state for name, state in states.items() if state.is_silent}
        if silent:
            known = await self._known()
            states |= {
                name: replace(state, reason=f"{state.reason}; Serve says {known[name]}")
                for name, state in silent.items()
                if name in known
            }
        self._answered_s = self._clock()
        return states

    async def _known(self) -> Mapping[str, str]:
        """What is known of those that did not answer, if that is known soon."""
        if self._explain is None:
            return {}
        if self._explaining is None or self._explaining.done():  # never two: the one asked may be what hangs
            self._explaining = asyncio.create_task(self._explain())
        try:
            async with asyncio.timeout(_EXPLAIN_TIMEOUT_S):
                return await asyncio.shield(self._explaining)
        except TimeoutError:
            return {}
        except Exception:
            # What is asked for an explanation may be broken too; the answer goes without one.
            logger.exception("no explanation of what does not answer")
            return {}

    async def _probe(self, name: str, probe: Probe) -> State:
        start_s = self._clock()
        try:
            async with asyncio.timeout(self._timeout_s):
                await probe()
        except TimeoutError:
            reason = f"no answer within {self._timeout_s:g} s"
            return State(self._clock() - start_s, reason, is_silent=True)
        except MantaError as exc:
            reason = exc.message
        except Exception as exc:
            # Readiness must name what is broken, also when it breaks in a way that nobody foresaw.
            logger.exception("the probe of %s failed", name)
            reason = f"the probe failed: {exc.__class__.__name__}"
        else:
            return State(self._clock() - start_s)
        return State(self._clock() - start_s, reason)
