"""Replicas: how many there are, how much each takes at once, and when one is replaced."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from configs.schema.base import Strict

# Seconds, where a policy is given none: Serve's own, and what was best in docs/simulator.md.
_UPSCALE_DELAY_S = {"ongoing_requests": 30.0, "work": 0.0}


class AutoscalerConfig(Strict):
    """How the number of replicas follows the load: Serve's own settings under its own names, and the policy's."""

    policy: Literal["work", "ongoing_requests"] = Field(
        default="work",
        description="What decides. `work`: requests that run and wait, and what replicas say of their queues (tokens, "
        "age), up at once and down slowly. `ongoing_requests`: Serve's own, an average over target_ongoing_requests.",
    )
    initial_replicas: int | None = Field(
        default=None, ge=0, description="Replicas at the start; None: min_replicas."
    )
    upscale_delay_s: float | None = Field(
        default=None,
        ge=0,
        description="Seconds for which more replicas must be wanted before they start; None: 0 with `work`, 30 with "
        "`ongoing_requests`. The first one always starts at once.",
    )
    downscale_delay_s: float = Field(
        default=600.0, ge=0, description="Seconds for which fewer replicas must be wanted before some stop."
    )
    downscale_to_zero_delay_s: float | None = Field(
        default=None, ge=0, description="The same for the last replica; None: downscale_delay_s."
    )
    max_queue_age_s: float | None = Field(
        default=5.0,
        gt=0,
        description="`work` only: more replicas start when a request waits longer than this inside half of them; None: "
        "however long it waits.",
    )
    queued_tokens_per_replica: int | None = Field(
        default=None,
        ge=1,
        description="`work` only: one more replica for so many tokens that wait inside replicas; None: requests are "
        "counted and not their tokens.",
    )
    cold_start_timeout_s: float = Field(
        default=120.0,
        gt=0,
        description="Seconds that a request waits for the first replica of what is scaled to zero; beyond it 503.",
    )
    upscaling_factor: float = Field(
        default=1.0,
        gt=0,
        description="`ongoing_requests` only: of the replicas that are missing, how many times as many start.",
    )
    downscaling_factor: float = Field(
        default=1.0,
        gt=0,
        description="`ongoing_requests` only: of the replicas that are too many, how many times as many stop.",
    )
    look_back_period_s: float = Field(
        default=30.0, gt=0, description="Seconds over which callers' running requests are averaged."
    )
    metrics_interval_s: float = Field(
        default=10.0,
        gt=0,
        description="Seconds between reports to the autoscaler. Ray warns that this setting will become an "
        "environment variable when it is not 10.",
    )

    @property
    def upscale_after_s(self) -> float:
        """`upscale_delay_s`, or the policy's own."""
        return _UPSCALE_DELAY_S[self.policy] if self.upscale_delay_s is None else self.upscale_delay_s

    @property
    def sleep_after_s(self) -> float:
        """`downscale_to_zero_delay_s`, or what it falls back to."""
        delay_s = self.downscale_to_zero_delay_s
        return self.downscale_delay_s if delay_s is None else delay_s

    @model_validator(mode="after")
    def _of_the_policy(self) -> AutoscalerConfig:
        if self.policy == "work" and (self.upscaling_factor, self.downscaling_factor) != (1.0, 1.0):
            raise ValueError("upscaling_factor and downscaling_factor are of the policy ongoing_requests")
        return self


class HealthConfig(Strict):
    """When a replica counts as broken, so that another takes its place."""

    check_period_s: float = Field(
        default=2.0,
        ge=0.5,
        description="Seconds between two health checks of a replica. One that dies is noticed at once.",
    )
    check_timeout_s: float = Field(
        default=5.0,
        ge=0.5,
        description="Seconds after which a health check whose answer is due has failed. Three failed ones in a row "
        "replace the replica.",
    )
    max_loop_block_s: float = Field(
        default=15.0,
        ge=1,
        description="A replica whose event loop has not run for so many seconds writes the stacks of its threads "
        "to its log and ends.",
    )
    max_step_s: float = Field(
        default=60.0,
        ge=1,
        description="Seconds for one step of an engine in process: a piece of a prompt, or a token of each running "
        "text. Beyond it the engine hangs.",
    )
    max_failures: int = Field(
        default=3, ge=1, description="Requests that an engine may fail in a row before it counts as broken."
    )
    canary_period_s: float | None = Field(
        default=60.0,
        ge=1,
        description="Seconds between two questions with a known answer, asked while a llama.cpp engine is idle; an "
        "engine that comes to answer them otherwise is broken. None: none are asked.",
    )

    @property
    def answer_within_s(self) -> float:
        """Seconds until a check has failed: it stays open for one period before its answer is due (decision 0009)."""
        return self.check_period_s + self.check_timeout_s

    @property
    def patience_s(self) -> float:
        """Seconds without an answer until Serve gives a replica up: it takes three failed checks in a row."""
        return 3 * self.answer_within_s


class ScalingConfig(Strict):
    """How many replicas a deployment has, how much each takes at once, and when one is replaced."""

    min_replicas: int = Field(default=1, ge=0, description="Replicas that always run; 0 scales to zero.")
    max_replicas: int = Field(default=1, ge=1, description="Upper bound of the autoscaler.")
    target_ongoing_requests: float = Field(
        default=8.0, gt=0, description="Running requests per replica that the autoscaler aims at."
    )
    autoscaler: AutoscalerConfig = Field(
        default=AutoscalerConfig(), description="How fast the autoscaler follows the load."
    )
    max_ongoing_requests: int = Field(
        default=32, ge=1, description="Requests that one replica works on at once: its slots."
    )
    max_queued_requests: int = Field(
        default=128,
        ge=1,
        description="Requests that may wait for a slot of one replica; beyond it callers get 429 with Retry-After, "
        "and interactive requests take the places of batch requests.",
    )
    max_queue_wait_s: float = Field(
        default=10.0,
        gt=0,
        description="Seconds that a request may wait for a slot: as long as its users keep waiting, which for people "
        "is about ten. One that would wait longer is refused at once, and a queue that stands near it is kept short.",
    )
    num_cpus: float = Field(default=0.0, ge=0, description="CPUs that Ray reserves for each replica.")
    health: HealthConfig = Field(default=HealthConfig(), description="When a replica counts as broken.")
    graceful_shutdown_timeout_s: float = Field(
        default=20.0, ge=0, description="Seconds that running requests have to end when a replica stops."
    )
    max_surge_percent: int = Field(
        default=100,
        ge=0,
        le=100,
        description="Share of the replicas, in percent, that an update may start beside the old ones before it stops "
        "those; 0 stops old ones first, for hardware that has no room for both.",
    )

    @model_validator(mode="after")
    def _bounds(self) -> ScalingConfig:
        if self.min_replicas > self.max_replicas:
            raise ValueError(f"min_replicas {self.min_replicas} is above max_replicas {self.max_replicas}")
        initial = self.autoscaler.initial_replicas
        if initial is not None and not self.min_replicas <= initial <= self.max_replicas:
            raise ValueError(f"initial_replicas {initial} is not between min_replicas and max_replicas")
        return self
