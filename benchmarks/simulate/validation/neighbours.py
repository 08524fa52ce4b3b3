"""How much of the machine was used by processes that are no part of a measurement.

A real run on a machine that others use too is slower than any model says, so this stands beside its figures.
"""

from __future__ import annotations

import time

import psutil

SAMPLE_EVERY_S = 5.0


class Neighbours:
    """Cores used by processes that this one has not started, in the mean. `look` about once a second."""

    def __init__(self) -> None:
        self._cpu_s: dict[int, float] = _family_cpu_s()
        self._busy_s = _busy_s()
        self._at_s = self._began_s = time.monotonic()
        self._foreign_s = 0.0

    def look(self) -> None:
        """Take a sample, if the last one is old enough: a process that ended in between counts as foreign."""
        if time.monotonic() - self._at_s >= SAMPLE_EVERY_S:
            self._sample()

    def cores(self) -> float:
        """Until now."""
        self._sample()
        return self._foreign_s / max(1e-3, self._at_s - self._began_s)

    def _sample(self) -> None:
        cpu_s, busy_s = _family_cpu_s(), _busy_s()
        own_s = sum(max(0.0, seconds - self._cpu_s.get(pid, 0.0)) for pid, seconds in cpu_s.items())
        self._foreign_s += max(0.0, busy_s - self._busy_s - own_s)
        self._cpu_s, self._busy_s, self._at_s = cpu_s, busy_s, time.monotonic()


def _busy_s() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.system + times.nice + times.irq + times.softirq)


def _family_cpu_s() -> dict[int, float]:
    """pid -> CPU seconds, of this process and all below it."""
    me = psutil.Process()
    found: dict[int, float] = {}
    for process in (me, *me.children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        found[process.pid] = times.user + times.system
    return found
