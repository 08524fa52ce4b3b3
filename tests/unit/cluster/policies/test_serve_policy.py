"""The adapter against a context of the same shape as Serve's, and against how Serve carries it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cluster.policies import WorkPolicy
from cluster.policies.serve_policy import observe
from configs.autoscaling import WORK_POLICY, serve_autoscaling
from configs.schema import AutoscalerConfig, ScalingConfig


@dataclass
class Point:
    value: float


@dataclass
class ServeSettings:
    target_ongoing_requests: float = 4.0
    look_back_period_s: float = 30.0
    metrics_interval_s: float = 10.0


@dataclass
class Context:
    current_time: float = 1_000.0
    target_num_replicas: int = 3
    current_num_replicas: int = 3
    capacity_adjusted_min_replicas: int = 1
    capacity_adjusted_max_replicas: int = 10
    total_num_requests: float = 0.0
    raw_metrics: dict[str, dict[Any, list[Point]]] = field(default_factory=dict)
    policy_state: dict[str, Any] = field(default_factory=dict)
    config: ServeSettings = field(default_factory=ServeSettings)


def reported(**latest: tuple[float, ...]) -> dict[str, dict[Any, list[Point]]]:
    """Of each key the latest values of some replicas, after older ones that do not matter."""
    return {
        key: {f"r{number}": [Point(99.0), Point(value)] for number, value in enumerate(values)}
        for key, values in latest.items()
    }


def policy(**changes: Any) -> WorkPolicy:
    settings = {"upscale_delay_s": 0.0, "downscale_delay_s": 60.0, "downscale_to_zero_delay_s": 60.0}
    return WorkPolicy(**settings | changes)


def test_the_latest_of_each_replica_is_summed() -> None:
    metrics = reported(
        running=(4, 3, 2), queued=(1, 0, 5), queued_tokens=(100, 0, 900), oldest_queued_s=(2, 0, 7)
    )
    work = observe(Context(raw_metrics=metrics)).work
    assert work is not None
    assert (work.num_running, work.num_queued, work.num_queued_tokens) == (9, 6, 1000)


@pytest.mark.parametrize(
    ("num_running", "ages", "age_s"),
    [
        (1, (7,), 7),
        (2, (7, 3), 3),
        (3, (7, 0, 3), 3),
        (3, (7, 0, 0), 0),
        (3, (7,), 0),  # two have just started
        (4, (9, 8, 7, 0), 7),
    ],
)
def test_the_age_is_that_of_half_of_the_replicas(
    num_running: int, ages: tuple[float, ...], age_s: float
) -> None:
    """One replica whose queue stands still is no sign that there are too few."""
    metrics = reported(running=(1,) * len(ages), oldest_queued_s=ages)
    work = observe(Context(current_num_replicas=num_running, raw_metrics=metrics)).work
    assert work is not None
    assert work.age_s == age_s


@pytest.mark.parametrize(
    ("flags", "is_overload"), [((1, 1, 0), True), ((1, 0, 0), False), ((1,), False), ((), False)]
)
def test_half_of_the_replicas_make_an_overload(flags: tuple[float, ...], is_overload: bool) -> None:
    work = observe(Context(raw_metrics=reported(running=(1, 1, 1), overloaded=flags))).work
    assert work is not None
    assert work.is_overload is is_overload


def test_replicas_that_say_nothing_are_no_idle_ones() -> None:
    assert observe(Context()).work is None
    assert policy()(Context(total_num_requests=18.0))[0] == 5


def test_what_it_returns_is_what_it_remembers() -> None:
    decide = policy()
    busy = Context(total_num_requests=30.0)
    decided, state = decide(busy)
    assert decided == 8
    later = Context(current_time=1_059.0, target_num_replicas=8, policy_state=state)
    decided, state = decide(later)
    assert decided == 8
    later = Context(current_time=1_062.0, target_num_replicas=8, policy_state=state)
    assert decide(later)[0] == 1


def test_the_configuration_names_it_with_its_own_settings() -> None:
    autoscaler = AutoscalerConfig(policy="work", downscale_delay_s=90.0, max_queue_age_s=3.0)
    told = serve_autoscaling(ScalingConfig(max_replicas=4, autoscaler=autoscaler))
    assert told["policy"]["policy_function"] == WORK_POLICY
    made = WorkPolicy(**told["policy"]["policy_kwargs"])
    decided, _ = made(Context(total_num_requests=9.0))
    assert decided == 3


def test_it_runs_where_manta_is_not_installed() -> None:
    """Serve pickles it by value here, and calls it in a controller that may not have this package."""
    pickled = subprocess.run(
        [sys.executable, "-c", PICKLE, WORK_POLICY],
        capture_output=True,
        check=True,
        cwd=Path(__file__).resolve().parents[4],
    ).stdout
    unpickled = subprocess.run(
        [sys.executable, "-c", UNPICKLE], input=pickled, capture_output=True, check=False
    )
    assert unpickled.stdout.decode().split() == ["3", "3"], unpickled.stderr.decode()


PICKLE = """
import sys
from ray.serve.config import AutoscalingPolicy
kwargs = {"upscale_delay_s": 0.0, "downscale_delay_s": 60.0, "downscale_to_zero_delay_s": 60.0}
policy = AutoscalingPolicy(policy_function=sys.argv[1], policy_kwargs=kwargs)
sys.stdout.buffer.write(policy.get_serialized_policy_def())
"""
UNPICKLE = """
import pickle, sys, types
class NotHere:
    def find_spec(self, name, *_):
        if name.split(".")[0] in ("cluster", "configs", "serve_app"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, NotHere())
made = pickle.loads(sys.stdin.buffer.read())(
    upscale_delay_s=0.0, downscale_delay_s=60.0, downscale_to_zero_delay_s=60.0
)
context = types.SimpleNamespace(
    current_time=1.0, target_num_replicas=1, current_num_replicas=1, capacity_adjusted_min_replicas=0,
    capacity_adjusted_max_replicas=9, total_num_requests=11.0, raw_metrics={},
    policy_state={},
    config=types.SimpleNamespace(target_ongoing_requests=4.0, look_back_period_s=30.0, metrics_interval_s=10.0),
)
decided, state = made(context)
context.policy_state, context.target_num_replicas = state, decided
print(decided, made(context)[0])
"""
