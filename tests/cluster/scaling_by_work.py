"""A mock model on a Ray of its own, whose replicas follow its queue by `WorkPolicy`: 0 -> 1 -> 2 -> 0.

Run by test_scaling.py, in a process of its own. Writes a line for each state that it reached.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import ray
from ray import serve
from ray.serve.config import AutoscalingConfig

from configs.autoscaling import serve_autoscaling
from configs.schema import MockModel
from serve_app.engines.deployment import ModelDeployment
from serve_app.ingress.waking.asleep import is_asleep
from serve_app.messages import Deadline, Endpoint, RequestContext

STATE_TIMEOUT_S = 90.0
# A slot for one stream, and by count one replica would do for a hundred: only the queue's age asks for more.
MODEL = MockModel.model_validate(
    {
        "name": "narrow",
        "engine": "mock",
        "tpot_ms": 100,
        "scaling": {
            "min_replicas": 0,
            "max_replicas": 2,
            "max_ongoing_requests": 1,
            "max_queue_wait_s": STATE_TIMEOUT_S * 5,
            "target_ongoing_requests": 100,
            "autoscaler": {
                "policy": "work",
                "max_queue_age_s": 0.5,
                "downscale_delay_s": 2,
                "downscale_to_zero_delay_s": 2,
                "look_back_period_s": 2,
                "metrics_interval_s": 1,
            },
        },
    }
)
BODY = {
    "model": "narrow",
    "messages": [{"role": "user", "content": "x"}],
    "max_tokens": 30_000,
    "stream": True,
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
    states = serve.status().applications["scaling"].deployments["Model-narrow"].replica_states
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
        name="Model-narrow",
        ray_actor_options={"num_cpus": 0},
        max_ongoing_requests=100,
        graceful_shutdown_timeout_s=1,
        autoscaling_config=AutoscalingConfig(**serve_autoscaling(MODEL.scaling)),
    )(ModelDeployment)
    application = deployment.bind(MODEL, Path())
    handle = serve.run(application, name="scaling", route_prefix=None).options(stream=True)

    def ask() -> Any:
        context = RequestContext("r", "default", Deadline.after(STATE_TIMEOUT_S * 4))
        return handle.stream.remote(Endpoint.CHAT, BODY, context)

    wait_for(0)
    tell(f"asleep: {is_asleep(handle)}")
    streams = [ask()]
    next(iter(streams[0]))
    wait_for(1)
    tell(f"asleep: {is_asleep(handle)}")
    streams += [ask() for _ in range(3)]
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
