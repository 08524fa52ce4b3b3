"""A simulated service with a known truth: c servers, one queue, and records as the client would write them."""

from __future__ import annotations

import heapq
from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.records import Outcome, Record

Queue = Callable[..., list[Record]]


def _simulate(
    *,
    rho: float,
    seed: int,
    rate_rps: float = 100.0,
    duration_s: float = 30.0,
    num_servers: int = 10,
    service: str = "exponential",
    stall: tuple[float, float] = (0.0, 0.0),
    extra_s: Callable[[float], float] = lambda at_s: 0.0,
    timeout_s: float = 1e9,
) -> list[Record]:
    """Poisson arrivals at `rho` times the capacity.

    Args:
        stall: (start, seconds): nothing happens in the server for so long.
        extra_s: seconds after the start -> what first tokens take longer, without work for the servers.
    """
    rng = np.random.default_rng(seed)
    arrivals = np.cumsum(rng.exponential(1 / rate_rps, round(rate_rps * duration_s * 2) + 50))
    arrivals = arrivals[arrivals < duration_s]
    mean_s = rho * num_servers / rate_rps
    works = {
        "exponential": lambda: rng.exponential(mean_s, len(arrivals)),
        "constant": lambda: np.full(len(arrivals), mean_s),
        "lognormal": lambda: mean_s * rng.lognormal(-0.5, 1.0, len(arrivals)),
    }[service]()
    stall_s, stall_end_s = stall[0], stall[0] + stall[1]
    free = [0.0] * num_servers
    records = []
    for index, (arrival, work) in enumerate(zip(arrivals, works, strict=True)):
        begin = max(float(arrival), heapq.heappop(free))
        if stall_s <= begin < stall_end_s:
            begin = stall_end_s
        end = begin + float(work)
        if begin < stall_s < end:
            end += stall[1]
        heapq.heappush(free, end)
        first = min(begin + 0.02 + 0.1 * float(work) + extra_s(float(arrival)), end + 0.02)
        is_late = end - arrival > timeout_s
        records.append(
            Record(
                index=index,
                entry="chat",
                worker=0,
                outcome=Outcome.TIMEOUT if is_late else Outcome.OK,
                intended_ns=round(arrival * 1e9),
                sent_ns=round(arrival * 1e9),
                end_ns=round((arrival + timeout_s if is_late else end + 0.02) * 1e9),
                is_stream=True,
                first_token_ns=None if is_late else round(first * 1e9),
            )
        )
    return records


@pytest.fixture
def queue() -> Queue:
    """Simulates a service; see `_simulate`."""
    return _simulate
