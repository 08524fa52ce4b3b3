from __future__ import annotations

import pytest
from pydantic import ValidationError
from ray.serve.config import AutoscalingConfig

from configs.autoscaling import WORK_POLICY, serve_autoscaling
from configs.schema import AutoscalerConfig, ScalingConfig


def scaling(**autoscaler: object) -> ScalingConfig:
    return ScalingConfig(
        min_replicas=0, max_replicas=4, autoscaler=AutoscalerConfig.model_validate(autoscaler)
    )


def test_serves_own_policy_gets_what_was_set_and_nothing_else() -> None:
    told = serve_autoscaling(scaling(policy="ongoing_requests", upscale_delay_s=3.0, upscaling_factor=2.0))
    assert told == {
        "min_replicas": 0,
        "max_replicas": 4,
        "target_ongoing_requests": 8.0,
        "upscale_delay_s": 3.0,
        "upscaling_factor": 2.0,
    }
    assert AutoscalingConfig(**told).policy.is_default_policy_function()


def test_the_policy_by_work_gets_the_delays_and_serve_none() -> None:
    told = serve_autoscaling(scaling(policy="work", downscale_delay_s=90.0, queued_tokens_per_replica=9000))
    made = AutoscalingConfig(**told)  # warnings are errors here
    assert (made.upscale_delay_s, made.downscale_delay_s, made.downscale_to_zero_delay_s) == (0.0, 0.0, 0.0)
    assert made.policy.policy_function == WORK_POLICY
    assert made.policy.policy_kwargs["downscale_delay_s"] == 90.0
    assert made.policy.policy_kwargs["downscale_to_zero_delay_s"] == 90.0
    assert made.policy.policy_kwargs["queued_tokens_per_replica"] == 9000


@pytest.mark.parametrize(("policy", "delay_s"), [("work", 0.0), ("ongoing_requests", 30.0)])
def test_a_delay_that_is_not_given_is_the_policys_own(policy: str, delay_s: float) -> None:
    made = scaling(policy=policy)
    assert made.autoscaler.upscale_after_s == delay_s
    if policy == "ongoing_requests":
        assert AutoscalingConfig(**serve_autoscaling(made)).upscale_delay_s == delay_s


def test_what_only_serves_own_policy_knows_is_refused_with_the_other() -> None:
    with pytest.raises(ValidationError, match="upscaling_factor and downscaling_factor"):
        scaling(policy="work", upscaling_factor=2.0)
