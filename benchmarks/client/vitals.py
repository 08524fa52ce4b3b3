"""How the client itself is: whether its event loop is late, and whether its process gets a core.

A timer is set every 10 ms; how late it rings is how late the loop may have been with a request or a
read in that moment. Written a line a second.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from benchmarks.client.alarm import make_alarm

TICK_NS = 10_000_000
_SCHEDSTAT = Path("/proc/self/schedstat")


class Vitals:
    """Watches the running event loop until it is closed."""

    def __init__(self, loop: asyncio.AbstractEventLoop, start_ns: int) -> None:
        self._alarm = make_alarm(loop, self._on_tick)
        self._due_ns = max(start_ns, time.perf_counter_ns())
        self._lags_ms: list[float] = []
        self._cpu_ns = time.process_time_ns()
        self._waited_ns = _waited_ns()
        self._since_ns = time.perf_counter_ns()
        self._alarm.set(self._due_ns)

    def take(self) -> tuple[float, float | None, list[float]]:
        """(cpu, cpu_wait, lags in ms) since the last call; the shares are per wall time."""
        now_ns, cpu_ns, waited_ns = time.perf_counter_ns(), time.process_time_ns(), _waited_ns()
        wall_ns = max(1, now_ns - self._since_ns)
        cpu = (cpu_ns - self._cpu_ns) / wall_ns
        wait = None
        if waited_ns is not None and self._waited_ns is not None:
            wait = (waited_ns - self._waited_ns) / wall_ns
        # The tick that is due has not rung yet: so far it is late by this, which may be nothing.
        lags, self._lags_ms = [*self._lags_ms, max(0.0, (now_ns - self._due_ns) / 1e6)], []
        self._since_ns, self._cpu_ns, self._waited_ns = now_ns, cpu_ns, waited_ns
        return cpu, wait, lags

    def close(self) -> None:
        self._alarm.close()

    def _on_tick(self) -> None:
        now_ns = time.perf_counter_ns()
        self._lags_ms.append((now_ns - self._due_ns) / 1e6)
        # Every tick that a late loop missed counts, each 10 ms less late than the one before it: a request
        # due in that time would have waited as long.
        while self._due_ns + TICK_NS <= now_ns:
            self._due_ns += TICK_NS
            self._lags_ms.append((now_ns - self._due_ns) / 1e6)
        self._due_ns += TICK_NS
        self._alarm.set(self._due_ns)


def _waited_ns() -> int | None:
    """Nanoseconds that the process could have run but had no core; None where the system does not tell."""
    try:
        return int(_SCHEDSTAT.read_text(encoding="ascii").split()[1])
    except (OSError, IndexError, ValueError):
        return None
