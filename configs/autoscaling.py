"""What Serve's AutoscalingConfig is told for a deployment's scaling: plain values, for whoever builds one.

The application and the simulator both build it from here, so that both are decided for alike. Policies are
import paths, because Serve takes them so; nothing of Ray or of a policy is imported.
"""

from __future__ import annotations

from typing import Any

from configs.schema import AutoscalerConfig, ScalingConfig

WORK_POLICY = "cluster.policies:WorkPolicy"
# Serve applies these to what any policy decides; these values leave a decision as it is. They are named only
# where they are not Serve's own defaults, because naming some of the others makes Ray warn.
_UNDELAYED = {"upscale_delay_s": 0.0, "downscale_delay_s": 0.0, "downscale_to_zero_delay_s": 0.0}
_OF_SERVE = (
    "initial_replicas",
    "upscale_delay_s",
    "downscale_delay_s",
    "downscale_to_zero_delay_s",
    "upscaling_factor",
    "downscaling_factor",
    "look_back_period_s",
    "metrics_interval_s",
)


def serve_autoscaling(scaling: ScalingConfig) -> dict[str, Any]:
    """The arguments of Serve's AutoscalingConfig. What was not set stays Serve's own default."""
    autoscaler = scaling.autoscaler
    changed = autoscaler.model_dump(exclude_defaults=True)
    arguments: dict[str, Any] = {
        "min_replicas": scaling.min_replicas,
        "max_replicas": scaling.max_replicas,
        "target_ongoing_requests": scaling.target_ongoing_requests,
        **{name: changed[name] for name in _OF_SERVE if name in changed},
    }
    if autoscaler.policy == "work":
        policy = {"policy_function": WORK_POLICY, "policy_kwargs": _of_work(autoscaler)}
        arguments |= _UNDELAYED | {"policy": policy}
    return arguments


def reports_work(scaling: ScalingConfig) -> bool:
    """Whether what replicas say of their own work is asked for."""
    return scaling.autoscaler.policy == "work"


def _of_work(autoscaler: AutoscalerConfig) -> dict[str, float | None]:
    return {
        "upscale_delay_s": autoscaler.upscale_after_s,
        "downscale_delay_s": autoscaler.downscale_delay_s,
        "downscale_to_zero_delay_s": autoscaler.sleep_after_s,
        "max_queue_age_s": autoscaler.max_queue_age_s,
        "queued_tokens_per_replica": autoscaler.queued_tokens_per_replica,
    }
