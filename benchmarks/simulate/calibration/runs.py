"""The runs that a service model is calibrated from, made against a server with one replica of the model.

Closed loops: one request at a time with prompts of all lengths, then 2, 4, 8, ... at a time with prompts
that one step can read. Lengths are uniform, from a seed: nothing of them is from a trace.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx

from benchmarks.errors import BenchmarkError
from benchmarks.records import Record
from benchmarks.run.execute import RunOptions, execute
from benchmarks.run.prepare import prepare
from benchmarks.simulate.arrivals import arrivals_of
from benchmarks.simulate.calibration.fit import Calibration, calibrate
from benchmarks.simulate.simulation import simulate
from benchmarks.target import Target
from configs.simulation import Stack
from configs.workload import Workload

ALONE_S = 60.0
TOGETHER_S = 25.0
NUM_DELAYS = 20  # simulated wake-ups that an expected delay is taken from
SLEEP_MARGIN_S = 5.0

Say = Callable[[str], None]


def calibrate_server(
    target: Target,
    folder: Path,
    *,
    max_batched_tokens: int,
    max_running: int,
    max_prompt_tokens: int,
    say: Say = lambda _: None,
) -> Calibration:
    """Make the runs, each with a folder in `folder`, and fit a service model to them.

    Args:
        target: a server whose model has exactly one replica and nothing else to do.
        max_batched_tokens, max_running: the engine's settings.
        max_prompt_tokens: of the prompts that are asked alone.

    Raises:
        BenchmarkError: the server cannot be measured, or does not behave as the model assumes.
    """
    runs: list[tuple[Record, ...]] = []
    for workload in calibration_workloads(max_batched_tokens, max_running, max_prompt_tokens):
        say(f"calibrating: {workload.name}")
        run = execute(workload, prepare(workload, target), folder / workload.name, RunOptions(num_workers=1))
        if run.was_interrupted:
            raise BenchmarkError("the calibration was interrupted")
        runs.append(run.records)
    return calibrate(runs[0], runs[1:], max_batched_tokens=max_batched_tokens, max_running=max_running)


def calibration_workloads(
    max_batched_tokens: int, max_running: int, max_prompt_tokens: int
) -> Iterator[Workload]:
    """What is asked: first alone, then together."""
    yield _closed_loop(1, ALONE_S, max_prompt_tokens, (4, 24))
    concurrency = 2
    while concurrency <= max_running:
        yield _closed_loop(concurrency, TOGETHER_S, max(16, max_batched_tokens - max_running), (20, 60))
        concurrency *= 2


def _closed_loop(
    concurrency: int, duration_s: float, max_prompt_tokens: int, output_tokens: tuple[int, int]
) -> Workload:
    low, high = output_tokens
    return Workload.model_validate(
        {
            "name": f"calibration-{concurrency}",
            "seed": 1000 + concurrency,
            "duration_s": duration_s,
            "arrivals": {"process": "closed", "concurrency": concurrency},
            "requests": [
                {
                    "kind": "chat",
                    "prompt_tokens": {"distribution": "uniform", "low": 16, "high": max_prompt_tokens},
                    "output_tokens": {"distribution": "uniform", "low": low, "high": high},
                }
            ],
            "warm_up_s": 0,
        }
    )


def measure_starts(target: Target, stack: Stack, num: int, say: Say = lambda _: None) -> tuple[float, ...]:
    """Seconds that a replica took to start: `num` first answers of a deployment that sleeps.

    What Serve takes to notice the request is simulated and taken off.

    Args:
        stack: of the deployment, which scales to zero; its `replica_start_s` is not used.

    Raises:
        BenchmarkError: it did not answer.
    """
    expected_s = _delay_without_start_s(stack)
    autoscaler = stack.scaling.autoscaler
    delay_s = autoscaler.downscale_to_zero_delay_s
    asleep_after_s = autoscaler.downscale_delay_s if delay_s is None else delay_s
    pause_s = asleep_after_s + autoscaler.look_back_period_s + autoscaler.metrics_interval_s + SLEEP_MARGIN_S
    starts = []
    for number in range(num):
        say(f"measuring starts: {number + 1} of {num}")
        time.sleep(pause_s)
        starts.append(round(max(0.0, _first_answer_s(target) - expected_s), 3))
    return tuple(starts)


def _delay_without_start_s(stack: Stack) -> float:
    """The median time of such a first answer if replicas started at once."""
    at_once = stack.model_copy(update={"replica_start_s": 0.0})
    asked = Workload.model_validate(
        {
            "duration_s": 60.0,
            "arrivals": {"process": "constant", "rate_rps": 1 / 60},
            "requests": [{"kind": "chat", "prompt_tokens": 16, "output_tokens": 1}],
        }
    )
    delays = []
    for seed in range(NUM_DELAYS):
        (record,) = simulate(arrivals_of(asked), at_once, seed=seed, timeout_s=120.0).records
        delays.append((record.end_ns - record.intended_ns) / 1e9)
    return sorted(delays)[NUM_DELAYS // 2]


def _first_answer_s(target: Target) -> float:
    body = {"model": target.model, "messages": [{"role": "user", "content": "wake up"}], "max_tokens": 1}
    began = time.perf_counter()
    try:
        response = httpx.post(f"{target.url}/v1/chat/completions", json=body, timeout=120.0, trust_env=False)
        response.raise_for_status()
    except httpx.HTTPError as exc:
        raise BenchmarkError(f"{target.model} did not wake up: {exc}") from exc
    return time.perf_counter() - began
