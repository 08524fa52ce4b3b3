"""`decide` as a policy of Ray Serve 2.60: what its context says, as an observation.

Serve makes one `WorkPolicy` for each deployment, again with every deploy, and calls it in its controller ten
times a second, between these of its own steps:

- From zero replicas it never asks: while a caller has a request and none runs, it aims at one.
- It applies `upscaling_factor`, `upscale_delay_s` and the like to whatever a policy says, so
  `configs.autoscaling` sets these to what changes nothing; the policy gets its delays as its own arguments.
- It clips to min_replicas and max_replicas, and goes to zero only from one.

What callers and replicas report comes every `metrics_interval_s`. Callers' counts of requests that wait and run
are summed over all and averaged over `look_back_period_s`; the two are of no use apart, because a call that
does not stream counts as waiting until it ends. What a replica's `record_autoscaling_stats` returns is recorded every
fifth of `look_back_period_s` (at most `metrics_interval_s` apart) and kept for each replica and key on its
own: the latest value is taken here. A key that is missing keeps its last value until it is
`look_back_period_s` old, so all of them are to be given always. State that is returned lives in the
controller's memory: after its restart, and after a deploy, the first decision is made without any.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from cluster.policies.decision import Observation, Settings, State, Work, decide

# Keys of `record_autoscaling_stats`; all are numbers, and 0 where nothing waits. Without the last one nobody is
# said to turn requests away.
RUNNING = "running"
QUEUED = "queued"
QUEUED_TOKENS = "queued_tokens"
OLDEST_QUEUED_S = "oldest_queued_s"
OVERLOADED = "overloaded"  # 1 while requests are turned away

_STATE = "work"
# Of the look-back, how far apart Serve's records are.
_RECORD_SHARE = 0.2


class Point(Protocol):
    """Serve's TimeStampedValue."""

    value: float


class ScalingSettings(Protocol):
    """Of Serve's AutoscalingConfig, what is read."""

    target_ongoing_requests: float
    look_back_period_s: float
    metrics_interval_s: float


class Context(Protocol):
    """Of Serve's AutoscalingContext, what is read."""

    current_time: float
    target_num_replicas: int
    current_num_replicas: int
    capacity_adjusted_min_replicas: int
    capacity_adjusted_max_replicas: int
    total_num_requests: float
    raw_metrics: Mapping[str, Mapping[Any, Sequence[Point]]]
    policy_state: dict[str, Any]
    config: ScalingSettings


class WorkPolicy:
    """Decides for one deployment. The arguments are those of AutoscalerConfig that Serve is not told."""

    def __init__(
        self,
        *,
        upscale_delay_s: float,
        downscale_delay_s: float,
        downscale_to_zero_delay_s: float,
        max_queue_age_s: float | None = None,
        queued_tokens_per_replica: float | None = None,
    ) -> None:
        self._delays_s = (upscale_delay_s, downscale_delay_s, downscale_to_zero_delay_s)
        self._max_queue_age_s = max_queue_age_s
        self._queued_tokens_per_replica = queued_tokens_per_replica

    def __call__(self, context: Context) -> tuple[int, dict[str, Any]]:
        """The replicas that there should be, and the state for the next call."""
        state: State | None = context.policy_state.get(_STATE)
        decided, state = decide(observe(context), self._settings(context.config), state)
        return decided, {_STATE: state}

    def _settings(self, config: ScalingSettings) -> Settings:
        upscale_s, downscale_s, to_zero_s = self._delays_s
        record_s = min(_RECORD_SHARE * config.look_back_period_s, config.metrics_interval_s)
        return Settings(
            target_ongoing_requests=config.target_ongoing_requests,
            upscale_delay_s=upscale_s,
            downscale_delay_s=downscale_s,
            downscale_to_zero_delay_s=to_zero_s,
            max_queue_age_s=self._max_queue_age_s,
            queued_tokens_per_replica=self._queued_tokens_per_replica,
            report_delay_s=config.metrics_interval_s + record_s,
        )


def observe(context: Context) -> Observation:
    """What a context says."""
    return Observation(
        at_s=context.current_time,
        num_target=context.target_num_replicas,
        num_running=context.current_num_replicas,
        min_replicas=context.capacity_adjusted_min_replicas,
        max_replicas=context.capacity_adjusted_max_replicas,
        num_ongoing=context.total_num_requests,
        work=_work(context),
    )


def _work(context: Context) -> Work | None:
    metrics = context.raw_metrics
    if RUNNING not in metrics:
        return None
    return Work(
        num_running=sum(_latest(metrics, RUNNING)),
        num_queued=sum(_latest(metrics, QUEUED)),
        num_queued_tokens=sum(_latest(metrics, QUEUED_TOKENS)),
        age_s=_of_half(metrics, OLDEST_QUEUED_S, context.current_num_replicas),
        is_overload=_of_half(metrics, OVERLOADED, context.current_num_replicas) > 0.0,
    )


def _of_half(metrics: Mapping[str, Mapping[Any, Sequence[Point]]], name: str, num_replicas: int) -> float:
    """The highest value that half of the replicas have or exceed."""
    values = _latest(metrics, name)
    # One that has not reported yet has just started, and nobody waits there.
    values += [0.0] * (num_replicas - len(values))
    values.sort()
    return values[(len(values) - 1) // 2] if values else 0.0


def _latest(metrics: Mapping[str, Mapping[Any, Sequence[Point]]], name: str) -> list[float]:
    """The latest value of each replica."""
    return [series[-1].value for series in metrics.get(name, {}).values() if series]
