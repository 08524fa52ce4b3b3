"""A deployment that reports its own queue, on a Ray of its own: 0 -> 1 -> 2 -> 0 replicas by `WorkPolicy`.

Run by test_scaling.py, in a process of its own. Writes a line for each state that it reached.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from typing import Any

import ray
from ray import serve
from ray.serve.config import AutoscalingConfig

from configs.autoscaling import serve_autoscaling
from configs.schema import ScalingConfig
from serve_app.ingress.asleep import is_asleep

STATE_TIMEOUT_S = 90.0
# By count one replica would do for a hundred streams: only the queue's age asks for a second one.
SCALING = ScalingConfig.model_validate(
    {
        "min_replicas": 0,
        "max_replicas": 2,
        "target_ongoing_requests": 100,
        "autoscaler": {
            "policy": "work",
            "max_queue_age_s": 0.5,
            "downscale_delay_s": 2,
            "downscale_to_zero_delay_s": 2,
            "look_back_period_s": 2,
            "metrics_interval_s": 1,
        },
    }
)


class Narrow:
    """Streams one at a time; the others wait."""

    def __init__(self) -> None:
        self._slot = asyncio.Lock()
        self._waiting: dict[int, float] = {}  # stream -> since when it waits

    async def stream(self, number: int) -> AsyncIterator[int]:
        self._waiting[number] = time.monotonic()
        try:
            async with self._slot:
                del self._waiting[number]
                while True:
                    yield number
                    await asyncio.sleep(0.1)
        finally:
            self._waiting.pop(number, None)

    def record_autoscaling_stats(self) -> dict[str, float]:
        oldest_s = min(self._waiting.values(), default=time.monotonic())
        return {
            "running": float(self._slot.locked()),
            "queued": float(len(self._waiting)),
            "queued_tokens": 0.0,
            "oldest_queued_s": time.monotonic() - oldest_s,
        }


def tell(state: str) -> None:
    sys.stdout.write(f"{state}\n")
    sys.stdout.flush()


def wait_for(num_replicas: int) -> None:
    give_up = time.monotonic() + STATE_TIMEOUT_S
    while (found := running()) != num_replicas:
        if time.monotonic() > give_up:
            raise SystemExit(f"{found} replicas run, and not {num_replicas}")
        time.sleep(0.1)
    tell(f"replicas: {num_replicas}")


def running() -> int:
    states = serve.status().applications["scaling"].deployments["Narrow"].replica_states
    return sum(num for state, num in states.items() if str(getattr(state, "value", state)) == "RUNNING")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="manta-") as folder:
        ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, _temp_dir=folder)
        try:
            scale()
        finally:
            serve.shutdown()
            ray.shutdown()


def scale() -> None:
    serve.start(proxy_location="Disabled")
    deployment: Any = serve.deployment(
        name="Narrow",
        ray_actor_options={"num_cpus": 0},
        max_ongoing_requests=100,
        graceful_shutdown_timeout_s=1,
        autoscaling_config=AutoscalingConfig(**serve_autoscaling(SCALING)),
    )(Narrow)
    handle = serve.run(deployment.bind(), name="scaling", route_prefix=None).options(stream=True)
    wait_for(0)
    tell(f"asleep: {is_asleep(handle)}")
    streams = [handle.stream.remote(0)]
    next(iter(streams[0]))
    wait_for(1)
    tell(f"asleep: {is_asleep(handle)}")
    streams += [handle.stream.remote(number) for number in range(1, 4)]
    wait_for(2)
    for stream in streams:
        stream.cancel()
    wait_for(0)
    give_up = time.monotonic() + STATE_TIMEOUT_S
    while not is_asleep(handle) and time.monotonic() < give_up:
        time.sleep(0.1)
    tell(f"asleep: {is_asleep(handle)}")


if __name__ == "__main__":
    main()
