"""How many replicas there should be: a pure function of what is seen, the settings and what was before.

Up at once, down slowly. What is wanted now follows from the load:

    by requests   (running + waiting) / target_ongoing_requests
    by tokens     running / target_ongoing_requests + waiting tokens / queued_tokens_per_replica
    by age        more than there are now, when half of the replicas let a request wait longer than
                  max_queue_age_s, or turn requests away, although those that were asked for last have had
                  time to help

and the highest counts. There are then as many as the lowest that was wanted within upscale_delay_s, or as
many as now, but no more than the highest within downscale_delay_s: the stabilization of Kubernetes'
HorizontalPodAutoscaler (https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale,
"Stabilization window", and its tolerance of 0.1). The last replica goes after downscale_to_zero_delay_s
without any work; the first comes at once.

Knows nothing of Serve, and never reads a clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from cluster.policies.windows import Samples, with_high, with_low

# A replica goes only if the others are left this much below their target, so that a load that wavers
# around a whole number of replicas moves nothing.
TOLERANCE = 0.1
# Age says that there are too few replicas, not how many are missing: at most so many times those that run.
MAX_AGE_STEP = 2.0


@dataclass(frozen=True, slots=True)
class Work:
    """What the replicas say of themselves, summed.

    Args:
        num_running: requests that an engine works on.
        num_queued, num_queued_tokens: that wait inside of replicas.
        age_s: half of the replicas have a request that has waited for so long, or longer.
        is_overload: half of them turn requests away, which then neither run nor wait nor age.
    """

    num_running: float
    num_queued: float
    num_queued_tokens: float
    age_s: float
    is_overload: bool = False


@dataclass(frozen=True, slots=True)
class Observation:
    """What is known at one moment.

    Args:
        num_target: replicas that are aimed at.
        num_running: replicas that take requests.
        num_ongoing: requests on replicas and waiting for one, as callers count them, averaged.
        work: None: the replicas say nothing of themselves.
    """

    at_s: float
    num_target: int
    num_running: int
    min_replicas: int
    max_replicas: int
    num_ongoing: float
    work: Work | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """How to decide; `configs.schema.AutoscalerConfig` describes each.

    Args:
        report_delay_s: after it everybody's reports are of replicas that run by now.
    """

    target_ongoing_requests: float
    upscale_delay_s: float
    downscale_delay_s: float
    downscale_to_zero_delay_s: float
    max_queue_age_s: float | None = None
    queued_tokens_per_replica: float | None = None
    report_delay_s: float = 0.0


@dataclass(frozen=True, slots=True)
class State:
    """What is remembered between decisions.

    Args:
        highs, lows: of what was wanted, within the delays.
        worked_at_s: when there was work last.
        num_target: replicas that were aimed at.
        complete_since_s: since when as many run as are aimed at, or more; None: they do not.
    """

    highs: Samples
    lows: Samples
    worked_at_s: float
    num_target: int
    complete_since_s: float | None


def decide(seen: Observation, settings: Settings, state: State | None) -> tuple[int, State]:
    """The replicas that there should be, within the bounds, and what to remember.

    Args:
        state: what the last decision returned; None: this is the first, and nothing is known to be idle.
    """
    state = _looked(seen, state or _first(seen))
    wanted = max(_by_load(seen, settings), _by_age(seen, settings, state))
    kept = max(wanted, _by_load(seen, settings, tolerance=TOLERANCE), 1)
    if _waits_in_vain(seen, settings):
        kept = max(kept, seen.num_target)  # those that start because of it would be stopped again before
    state = replace(
        state,
        highs=with_high(state.highs, seen.at_s, kept, settings.downscale_delay_s),
        lows=with_low(state.lows, seen.at_s, wanted, settings.upscale_delay_s),
    )
    if seen.num_target == 0:
        decided = wanted  # whoever waits for the first replica waits for nothing else
    elif _may_sleep(seen, settings, state):
        decided = 0
    else:
        lowest, highest = state.lows[0][1], state.highs[0][1]
        decided = max(1, lowest, min(seen.num_target, highest))
    return max(seen.min_replicas, min(seen.max_replicas, decided)), state


def _first(seen: Observation) -> State:
    """Nothing is known of the past: what there is was wanted."""
    was = ((seen.at_s, seen.num_target),)
    return State(
        highs=was, lows=was, worked_at_s=seen.at_s, num_target=seen.num_target, complete_since_s=None
    )


def _looked(seen: Observation, state: State) -> State:
    is_starting = seen.num_target > 0 and seen.num_running == 0
    is_complete = seen.num_running >= seen.num_target
    is_same = seen.num_target <= state.num_target and state.complete_since_s is not None
    return replace(
        state,
        num_target=seen.num_target,
        # A replica that starts was asked for, even if who asked has left since.
        worked_at_s=seen.at_s if is_starting or _num_requests(seen) > 0 else state.worked_at_s,
        complete_since_s=(state.complete_since_s if is_same else seen.at_s) if is_complete else None,
    )


def _num_requests(seen: Observation) -> float:
    """By the callers, who average, or by the replicas, who are newer and not everywhere: the more."""
    fresh = seen.work.num_running + seen.work.num_queued if seen.work is not None else 0.0
    return max(seen.num_ongoing, fresh)


def _by_load(seen: Observation, settings: Settings, tolerance: float = 0.0) -> int:
    """Replicas for what runs and waits, each filled up to `tolerance` below its target."""
    share = 1.0 - tolerance
    target = settings.target_ongoing_requests * share
    num_replicas = _num_requests(seen) / target
    if seen.work is not None and settings.queued_tokens_per_replica is not None:
        per_replica = settings.queued_tokens_per_replica * share
        by_tokens = seen.work.num_running / target + seen.work.num_queued_tokens / per_replica
        num_replicas = max(num_replicas, by_tokens)
    return math.ceil(num_replicas)


def _by_age(seen: Observation, settings: Settings, state: State) -> int:
    """More replicas than now while requests wait in vain for those that there are; else 0."""
    since_s = state.complete_since_s
    if since_s is None or not _waits_in_vain(seen, settings):
        return 0
    limit_s = settings.max_queue_age_s
    if seen.at_s < since_s + settings.report_delay_s + (limit_s or 0.0):
        return 0
    times = MAX_AGE_STEP
    if seen.work is not None and limit_s is not None and not seen.work.is_overload:
        times = min(times, seen.work.age_s / limit_s)
    return max(seen.num_target + 1, math.floor(seen.num_target * times))


def _waits_in_vain(seen: Observation, settings: Settings) -> bool:
    """Whether there are too few replicas, whatever the count of requests says."""
    if seen.work is None:
        return False
    limit_s = settings.max_queue_age_s
    return seen.work.is_overload or (limit_s is not None and seen.work.age_s > limit_s)


def _may_sleep(seen: Observation, settings: Settings, state: State) -> bool:
    is_last = seen.num_target == 1
    return is_last and seen.at_s - state.worked_at_s >= settings.downscale_to_zero_delay_s
