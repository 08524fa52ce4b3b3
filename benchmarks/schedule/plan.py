"""What a workload asks and when, decided before anything is written: pure, from the workload's seed.

Reads a trace where the workload replays one; makes no text and knows no server.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.errors import BenchmarkError
from benchmarks.schedule.arrivals import MAX_REQUESTS, Seconds, arrivals
from benchmarks.schedule.replayed import replayed
from benchmarks.schedule.sessions import Draft, Sessions
from benchmarks.schedule.streams import stream
from benchmarks.traces.replay import replay
from configs.workload import ClosedLoop, TraceArrivals, Workload

DEFAULT_DURATION_S = 60.0

# A closed loop takes as many sessions as the server can do, which nobody knows before. So many are drawn,
# and the client starts again with the first when it has sent them all. Less where prompts are long: their
# text has to be made and lie on disk (20 million tokens are about 120 MB).
CLOSED_LOOP_SESSIONS = 10_000
CLOSED_LOOP_TOKENS = 20_000_000


@dataclass(frozen=True, slots=True)
class Plan:
    """A schedule without its bodies.

    Args:
        duration_s: first turns arrive in [0, duration_s).
        drafts: in the order of their index: first turns by arrival, then the later turns of each session
            in turn. Can be taken once.
    """

    duration_s: float
    num_requests: int
    drafts: Iterator[Draft]


def plan(workload: Workload) -> Plan:
    """Decide every request of a workload.

    Raises:
        BadTrace: the trace is broken.
        BenchmarkError: no request or too many, or a length that cannot be drawn.
    """
    if isinstance(workload.arrivals, TraceArrivals):
        (entry,) = workload.requests
        part = replay(workload.arrivals, workload.duration_s, MAX_REQUESTS)
        drafts = replayed(part.requests, entry, workload.seed)
        return Plan(part.duration_s, len(part.requests), drafts)
    duration_s = workload.duration_s or DEFAULT_DURATION_S
    if isinstance(workload.arrivals, ClosedLoop):
        if workload.arrivals.max_sessions is not None:
            num = workload.arrivals.max_sessions
            return _Mix(workload, num).plan(duration_s, None, num)
        num = max(CLOSED_LOOP_SESSIONS, workload.arrivals.concurrency)
        mix = _Mix(workload, num)
        return mix.plan(duration_s, None, max(workload.arrivals.concurrency, mix.num_affordable()))
    at_s = arrivals(workload.arrivals, duration_s, stream(workload.seed, "arrivals"))
    return _Mix(workload, len(at_s)).plan(duration_s, at_s, len(at_s))


class _Mix:
    """Which entry of the workload each session is of, and the sessions of each entry."""

    def __init__(self, workload: Workload, num: int) -> None:
        self._entries = _entries(workload, num)  # session -> entry
        self._positions = np.zeros(num, dtype=np.int64)  # session -> its number among those of its entry
        self._sessions: list[Sessions] = []
        self._num_turns = np.zeros(num, dtype=np.int64)
        self._num_text_tokens = np.zeros(num, dtype=np.int64)
        for entry, request in enumerate(workload.requests):
            mine = np.flatnonzero(self._entries == entry)
            sessions = Sessions(entry, request, len(mine), workload.seed)
            self._sessions.append(sessions)
            self._positions[mine] = np.arange(len(mine))
            self._num_turns[mine] = sessions.num_turns
            self._num_text_tokens[mine] = sessions.num_text_tokens

    def num_affordable(self) -> int:
        """How many sessions from the first on are no more text than a closed loop should have."""
        return int(np.searchsorted(np.cumsum(self._num_text_tokens), CLOSED_LOOP_TOKENS, side="right"))

    def plan(self, duration_s: float, at_s: Seconds | None, num: int) -> Plan:
        """Of the first `num` sessions."""
        num_requests = int(self._num_turns[:num].sum())
        if num_requests > MAX_REQUESTS:
            raise BenchmarkError(
                f"{num:,} sessions have {num_requests:,} turns; at most {MAX_REQUESTS:,} can be drawn"
            )
        return Plan(duration_s, num_requests, self._drafts(at_s, num))

    def _drafts(self, at_s: Seconds | None, num: int) -> Iterator[Draft]:
        entries, positions = self._entries[:num].tolist(), self._positions[:num].tolist()
        moments = at_s.tolist() if at_s is not None else [None] * num
        for index in range(num):
            sessions = self._sessions[entries[index]]
            yield sessions.draft(positions[index], 0, index=index, session=index, at_s=moments[index])
        index = num
        for session in np.flatnonzero(self._num_turns[:num] > 1).tolist():
            sessions = self._sessions[entries[session]]
            for turn in range(1, int(self._num_turns[session])):
                yield sessions.draft(positions[session], turn, index=index, session=session, at_s=None)
                index += 1


def _entries(workload: Workload, num: int) -> npt.NDArray[np.int64]:
    """(num,) positions in the mix, each as likely as its weight says."""
    bounds = np.cumsum([request.weight for request in workload.requests])
    drawn = stream(workload.seed, "mix").random(num) * bounds[-1]
    entries: npt.NDArray[np.int64] = np.searchsorted(bounds, drawn, side="right")
    return np.minimum(entries, len(bounds) - 1)  # rounding may reach the last bound
