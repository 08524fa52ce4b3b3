"""A workload's requests as the simulator takes them: the same plan that a run would send, without its text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.errors import BenchmarkError
from benchmarks.schedule.plan import plan
from benchmarks.schedule.planned import PlannedRequest
from benchmarks.simulate.requests import Arrivals, Follow
from configs.workload import ClosedLoop, GeneratingRequest, Workload


def arrivals_of(workload: Workload) -> Arrivals:
    """What the workload asks, and when.

    Raises:
        BadTrace: the trace is broken.
        BenchmarkError: it asks what the simulator has no model of, or nothing.
    """
    for request in workload.requests:
        if not isinstance(request, GeneratingRequest):
            raise BenchmarkError(f"{request.label}: only chat and completions can be simulated")
        if request.texts is not None:
            raise BenchmarkError(f"{request.label}: texts from a file have no length before they are sent")
        if not request.stream:
            raise BenchmarkError(f"{request.label}: only streams can be simulated")
    planned = plan(workload)
    requests = [draft.request for draft in planned.drafts]
    starts = [np.nan if request.at_s is None else request.at_s for request in requests]
    at_s = np.array(starts, dtype=np.float64)
    follow = _next_turns(requests)
    if isinstance(workload.arrivals, ClosedLoop):
        first = [request.index for request in requests if request.turn == 0]
        at_s[first[: workload.arrivals.concurrency]] = 0.0
        follow = _closed(follow, first[workload.arrivals.concurrency :], planned.duration_s)
    leaves = [np.inf if one.abandon_after_s is None else one.abandon_after_s for one in requests]
    return Arrivals(
        at_s=at_s,
        num_prompt_tokens=np.array([one.num_prompt_tokens or 1 for one in requests], dtype=np.int64),
        num_output_tokens=np.array([one.num_output_tokens or 1 for one in requests], dtype=np.int64),
        duration_s=planned.duration_s,
        entry=np.array([one.entry for one in requests], dtype=np.int64),
        labels=tuple(request.label for request in workload.requests),
        give_up_s=np.array(leaves, dtype=np.float64) if np.isfinite(leaves).any() else None,
        follow=follow,
    )


def _next_turns(requests: Sequence[PlannedRequest]) -> Follow | None:
    """A session's next turn is due its think time after the end of the one before."""
    by_turn = {(request.session, request.turn): request for request in requests if request.num_turns > 1}
    if not by_turn:
        return None

    def follow(index: int, end_s: float) -> tuple[int, float] | None:
        ended = requests[index]
        following = by_turn.get((ended.session, ended.turn + 1))
        return None if following is None else (following.index, end_s + following.think_s)

    return follow


def _closed(turns: Follow | None, waiting: Sequence[int], duration_s: float) -> Follow:
    """A session that is over makes room for the next, until arrivals end."""
    coming = iter(waiting)

    def follow(index: int, end_s: float) -> tuple[int, float] | None:
        turn = turns(index, end_s) if turns is not None else None
        if turn is not None or end_s >= duration_s:
            return turn
        following = next(coming, None)
        return None if following is None else (following, end_s)

    return follow
