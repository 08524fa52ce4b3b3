"""Where the time goes: CPU seconds of a server's processes, by kind of process.

Only this machine's processes below one root. Knows how Ray names them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import psutil

from benchmarks.run.progress import Progress

# `ray::ServeReplica:APP:DEPLOYMENT`, with `.METHOD` after it while a method runs.
_REPLICA = re.compile(r"^ray::ServeReplica:[^:]+:([^.\s]+)")
_ACTOR = re.compile(r"^ray::([A-Za-z_]+)")


@dataclass(frozen=True, slots=True)
class CpuReading:
    """CPU time used so far, process id -> seconds, and what each process is."""

    seconds: Mapping[int, float]
    kinds: Mapping[int, str]


class CpuWatch:
    """The processes below one root, itself with them, as they are when this is made."""

    def __init__(self, root_id: int) -> None:
        root = psutil.Process(root_id)
        self._processes = [root, *root.children(recursive=True)]
        self._kinds = {process.pid: kind_of(_command(process), _name(process)) for process in self._processes}

    def read(self) -> CpuReading:
        """Processes that ended are left out."""
        seconds = {}
        for process in self._processes:
            try:
                times = process.cpu_times()
            except psutil.Error:
                continue
            seconds[process.pid] = times.user + times.system
        return CpuReading(seconds, self._kinds)


class CpuPerRequest:
    """A server's CPU time from the end of a run's warm-up to the end of its arrivals, about a second apart.

    Args:
        root_id: of the server's first process.
    """

    def __init__(self, root_id: int, warm_up_s: float, duration_s: float) -> None:
        self._watch = CpuWatch(root_id)
        self._warm_up_s = warm_up_s
        self._duration_s = duration_s
        self._readings: list[tuple[int, CpuReading]] = []  # requests that had ended, CPU time used

    def look(self, progress: Progress) -> None:
        """To be called with the run's progress."""
        if self._warm_up_s <= progress.at_s <= self._duration_s:
            self._readings.append((progress.num_ended, self._watch.read()))

    def per_request_ms(self) -> dict[str, float]:
        """Kind of process -> milliseconds; nothing where the run was too short to tell."""
        if len(self._readings) < 2:
            return {}
        (num_before, before), (num_after, after) = self._readings[0], self._readings[-1]
        num = num_after - num_before
        if num <= 0:
            return {}
        used = used_between(before, after)
        return {kind: round(seconds / num * 1e3, 4) for kind, seconds in sorted(used.items())}


def used_between(before: CpuReading, after: CpuReading) -> dict[str, float]:
    """Kind of process -> CPU seconds between two readings, of the processes that both have."""
    found: defaultdict[str, float] = defaultdict(float)
    for process_id, seconds in after.seconds.items():
        if process_id in before.seconds:
            found[after.kinds[process_id]] += seconds - before.seconds[process_id]
    return dict(found)


def kind_of(command: Sequence[str], name: str) -> str:
    """What a process is, by its command line, without arguments that differ from run to run."""
    title = command[0].strip() if command else name
    if replica := _REPLICA.match(title):
        return f"replica {replica[1]}"
    if actor := _ACTOR.match(title):
        return f"ray {actor[1]}"
    modules = [following for word, following in pairwise(command) if word == "-m"]
    if modules:
        return modules[0]
    scripts = [Path(word).stem for word in command[1:3] if word.endswith(".py")]
    return scripts[0] if scripts else Path(title).name or name


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return "gone"
