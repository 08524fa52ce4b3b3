"""How long the ingress' event loop works on a request, from how bursts split over replicas.

Requests that come together are routed on the same knowledge, so a burst splits unevenly, the more so the
longer the loop takes for each. Bursts of equal long prompts show the split: each replica reads its prompts
one after the other, and the burst's last first token tells how many the fuller one had. The value whose
simulated bursts take as long as the real ones is the one. Bursts are of no trace.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.errors import BenchmarkError
from benchmarks.records import Outcome, Record
from benchmarks.run.execute import RunOptions, execute
from benchmarks.run.prepare import prepare
from benchmarks.simulate.requests import Arrivals
from benchmarks.simulate.simulation import simulate
from benchmarks.target import Target
from configs.simulation import Stack
from configs.workload import Workload

SIZES = (2, 4, 6, 8)
NUM_OF_EACH = 16
EVERY_S = 3.0
# Beyond about a millisecond a longer time changes nothing about bursts.
CANDIDATES_MS = tuple(step / 4 for step in range(9))
NEARLY = 0.99
NUM_SEEDS = 12


def measure_loop_ms(target: Target, stack: Stack, folder: Path) -> float:
    """Send bursts, and find the value that explains them.

    Args:
        stack: of the deployment, with two replicas or more that do not change; its `loop_ms` is not used.

    Raises:
        BenchmarkError: the server cannot be measured, or the burst's requests did not all end well.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # One step reads the prompt, and two prompts do not fit into one.
    num_prompt = stack.service.max_batched_tokens - stack.service.max_running
    trace = folder / "bursts.jsonl"
    lines = [
        msgspec.json.encode({"at_s": at_s, "prompt_tokens": num_prompt, "output_tokens": 1})
        for at_s in arrival_times_s()
    ]
    trace.write_bytes(b"\n".join(lines) + b"\n")
    workload = Workload.model_validate(
        {
            "name": "bursts",
            "arrivals": {"process": "trace", "path": str(trace), "format": "manta"},
            "requests": [{"kind": "chat"}],
            "warm_up_s": 0,
        }
    )
    run = execute(workload, prepare(workload, target), folder / "bursts", RunOptions(num_workers=1))
    return fit_loop_ms(run.records, stack, num_prompt)


def arrival_times_s() -> list[float]:
    """When requests of the bursts arrive: those of a burst at the same moment."""
    sizes = [size for _ in range(NUM_OF_EACH) for size in SIZES]
    return [number * EVERY_S for number, size in enumerate(sizes, start=1) for _ in range(size)]


def fit_loop_ms(records: Sequence[Record], stack: Stack, num_prompt: int) -> float:
    """The smallest value whose simulated bursts take as long, in the mean, as those of `records`."""
    if any(record.outcome is not Outcome.OK for record in records):
        raise BenchmarkError("requests of the bursts failed: nothing can be said of how they were routed")
    simulated = [_simulated_burst_ms(stack, value, num_prompt) for value in CANDIDATES_MS]
    rising = np.maximum.accumulate(simulated)
    real = statistics.fmean(_bursts_ms(records))
    return round(float(np.interp(min(real, NEARLY * float(rising[-1])), rising, CANDIDATES_MS)), 2)


def _simulated_burst_ms(stack: Stack, loop_ms: float, num_prompt: int) -> float:
    at_s = np.array(arrival_times_s())
    lengths = np.full(len(at_s), num_prompt), np.ones(len(at_s), dtype=np.int64)
    arrivals = Arrivals(at_s, *lengths, duration_s=float(at_s[-1]) + EVERY_S)
    service = stack.service.model_copy(update={"loop_ms": loop_ms})
    changed = stack.model_copy(update={"service": service})
    return statistics.fmean(
        statistics.fmean(_bursts_ms(simulate(arrivals, changed, seed=seed, timeout_s=60.0).records))
        for seed in range(NUM_SEEDS)
    )


def _bursts_ms(records: Sequence[Record]) -> list[float]:
    """Of each burst the time to its last first token."""
    last_ms: dict[int, float] = {}
    for record in records:
        assert record.first_token_ns is not None
        burst = round(record.intended_ns / 1e9 / EVERY_S)
        ttft_ms = (record.first_token_ns - record.intended_ns) / 1e6
        last_ms[burst] = max(last_ms.get(burst, 0.0), ttft_ms)
    return list(last_ms.values())
