"""A part of a trace as a workload asks for it: cut, sped up, counted from 0."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from benchmarks.errors import BadTrace, BenchmarkError
from benchmarks.traces.base import Blocks, TraceRequest
from benchmarks.traces.trace_file import read_trace
from configs.workload import TraceArrivals

# As for other arrivals: the longest run of a workload.
MAX_DURATION_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Replay:
    """What is replayed.

    Args:
        requests: in order; `at_s` counts from the start of the run.
        duration_s: all arrive in [0, duration_s).
    """

    requests: tuple[TraceRequest, ...]
    duration_s: float


def replay(arrivals: TraceArrivals, duration_s: float | None, max_requests: int) -> Replay:
    """The trace's requests, from `skip_s` after its first one, at `speed_up` times its pace.

    The run is as long as the trace: until the last arrival and one mean gap more, so that n requests
    over the duration are the trace's rate. `duration_s` makes it shorter, never longer.

    Args:
        max_requests: more are an error; `arrivals.max_requests` cuts before that.

    Raises:
        BadTrace: the file is broken, or nothing of it is left.
        BenchmarkError: too many requests, or too long a run.
    """
    path = Path(arrivals.path).expanduser()
    until_s = duration_s if duration_s is not None else MAX_DURATION_S
    requests: list[TraceRequest] = []
    is_cut = False  # by time, before its end
    for request in islice(_from_start(path, arrivals), arrivals.max_requests):
        if request.at_s >= until_s:
            is_cut = True
            break
        if len(requests) == max_requests:
            raise BenchmarkError(
                f"{path} has more than {max_requests:,} requests; cut it with max_requests or duration_s"
            )
        requests.append(request)
    if is_cut and duration_s is None:
        raise BenchmarkError(
            f"{path} takes more than {MAX_DURATION_S:g} s at speed_up {arrivals.speed_up:g}; "
            "cut it with duration_s or max_requests, or speed it up"
        )
    if not requests:
        raise BadTrace(f"{path} has no request {_window(arrivals, duration_s)}")
    return Replay(tuple(requests), until_s if is_cut else min(until_s, _length_s(requests)))


def _from_start(path: Path, arrivals: TraceArrivals) -> Iterator[TraceRequest]:
    first_s: float | None = None
    for request in read_trace(path, arrivals.format):
        first_s = request.at_s if first_s is None else first_s
        at_s = request.at_s - first_s - arrivals.skip_s
        if at_s >= 0:
            yield _cut(request, arrivals)._replace(at_s=at_s / arrivals.speed_up)


def _cut(request: TraceRequest, arrivals: TraceArrivals) -> TraceRequest:
    prompt = min(request.num_prompt_tokens, arrivals.max_prompt_tokens or request.num_prompt_tokens)
    output = min(request.num_output_tokens, arrivals.max_output_tokens or request.num_output_tokens)
    blocks = request.blocks
    if blocks is not None and prompt < request.num_prompt_tokens:
        blocks = Blocks(blocks.ids[: -(-prompt // blocks.size)], blocks.size)
    return request._replace(num_prompt_tokens=prompt, num_output_tokens=output, blocks=blocks)


def _length_s(requests: list[TraceRequest]) -> float:
    last_s = requests[-1].at_s
    # One request, or all at once, have no mean gap.
    return last_s * len(requests) / (len(requests) - 1) if last_s > 0 and len(requests) > 1 else last_s + 1.0


def _window(arrivals: TraceArrivals, duration_s: float | None) -> str:
    until = "" if duration_s is None else f"in the {duration_s:g} s "
    return f"{until}after skip_s {arrivals.skip_s:g}"
