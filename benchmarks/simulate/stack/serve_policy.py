"""Serve's own autoscaler in simulated time: ray.serve's code decides, nothing of it is copied.

The only place of `benchmarks` that imports Ray, and it starts none. The classes are Serve's internal ones
of the locked version: the state that averages what callers report and asks the policy, Serve's own or the
one that the configuration names by its import path. They read the clock of their modules, so for the length
of a simulation those modules get another clock.
"""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from configs.autoscaling import serve_autoscaling
from configs.schema import ScalingConfig

_APPLICATION = "simulated"
# Serve's modules that read the clock for an autoscaling decision.
_CLOCK_READERS = ("ray.serve._private.autoscaling_state", "ray.serve.autoscaling_policy")
# Serve subtracts a look-back from the time and rounds it to 10 ms, so that times near 0 would do too; a
# positive start keeps every stamp of the past positive, as those of a real clock are.
_EPOCH_S = 1_000_000.0

Points = Sequence[tuple[float, float]]  # (at_s, value), oldest first


class SimulatedClock:
    """What replaces `time` in Serve's modules."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def time(self) -> float:
        return _EPOCH_S + self.now_s

    monotonic = time
    perf_counter = time


class ServeAutoscaler:
    """The autoscaling state of one deployment. Made by `serve_autoscaler`."""

    def __init__(self, scaling: ScalingConfig, clock: SimulatedClock) -> None:
        from ray.serve._private.autoscaling_state import DeploymentAutoscalingState
        from ray.serve._private.common import DeploymentID, ReplicaID
        from ray.serve._private.config import DeploymentConfig
        from ray.serve._private.deployment_info import DeploymentInfo
        from ray.serve.config import AutoscalingConfig

        with warnings.catch_warnings():
            # That metrics_interval_s will be a variable of the environment matters to who deploys it.
            warnings.simplefilter("ignore", DeprecationWarning)
            config = AutoscalingConfig(**serve_autoscaling(scaling))
        info = DeploymentInfo(
            deployment_config=DeploymentConfig(autoscaling_config=config),
            replica_config=None,  # type: ignore[arg-type]  # of no interest to the autoscaler
            start_time_ms=0,
            deployer_job_id="",
        )
        self._clock = clock
        self._deployment = DeploymentID("model", _APPLICATION)
        self._replica_id = lambda name: ReplicaID(name, self._deployment)
        self._state = DeploymentAutoscalingState(self._deployment)
        with _quiet(logging.getLogger("ray.serve")):  # it tells of a policy that is not its own
            self.initial_replicas: int = self._state.register(info, scaling.min_replicas)

    def set_running(self, names: Sequence[str]) -> None:
        """The replicas that run."""
        self._state.update_running_replica_ids([self._replica_id(name) for name in names])  # type: ignore[no-untyped-call]

    def report(self, caller: str, at_s: float, queued: Points, running: Mapping[str, Points]) -> None:
        """What one caller recorded: waiting requests, and replica -> its requests there."""
        points = [point for name in running for point in running[name]]
        ends = np.cumsum([len(running[name]) for name in running], dtype=np.int64)
        rows = [
            (0, index, end - len(running[name]), len(running[name]))
            for index, (name, end) in enumerate(zip(running, ends.tolist(), strict=True))
        ]
        self._state.record_columnar_metrics_for_handle(
            {
                "handle_id": caller,
                "deployment_id": self._deployment,
                "actor_id": caller,
                "handle_source": "REPLICA",
                "timestamp": _EPOCH_S + at_s,
                "ts": _EPOCH_S + np.array([at for at, _ in points], dtype=np.float64),
                "val": np.array([value for _, value in points], dtype=np.float64),
                "entries": np.array(rows, dtype=np.int64).reshape(-1, 4),
                "mi": 0,
                "replica_keys": [self._replica_id(name).to_full_id_str() for name in running],  # type: ignore[no-untyped-call]
                "q_ts": _EPOCH_S + np.array([at for at, _ in queued], dtype=np.float64),
                "q_val": np.array([value for _, value in queued], dtype=np.float64),
            }
        )

    def report_work(self, replica: str, at_s: float, work: Mapping[str, Points]) -> None:
        """What one replica recorded of its own work: key -> points."""
        from ray.serve._private.common import ReplicaMetricReport, TimeStampedValue

        metrics = {
            name: [TimeStampedValue(_EPOCH_S + at, value) for at, value in points]
            for name, points in work.items()
        }
        report = ReplicaMetricReport(
            replica_id=self._replica_id(replica),  # type: ignore[no-untyped-call]
            metrics=metrics,
            timestamp=_EPOCH_S + at_s,
        )
        self._state.record_request_metrics_for_replica(report)

    def decide(self, at_s: float, num_target: int) -> int:
        """The replicas that there should be, when `num_target` were aimed at so far."""
        self._clock.now_s = at_s
        decision: int = self._state.get_decision_num_replicas(num_target)
        return decision


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Nothing but warnings of that logger."""
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def serve_autoscaler(scaling: ScalingConfig) -> Iterator[ServeAutoscaler]:
    """An autoscaler whose time is what `decide` is told; Serve's modules read it until the end."""
    clock = SimulatedClock()
    modules: list[Any] = [importlib.import_module(name) for name in _CLOCK_READERS]
    real = [module.time for module in modules]
    for module in modules:
        module.time = clock
    try:
        yield ServeAutoscaler(scaling, clock)
    finally:
        for module, clock_before in zip(modules, real, strict=True):
            module.time = clock_before
