"""What the simulator assumes: the strict, frozen tree of a simulation file.

A simulation names a workload file, describes one way to serve it, and lists variants of that to compare.
Replica settings are those of a profile, under the same names. Nothing here has a default that would be a
guess about somebody's cluster or model: what the simulator cannot know is required.

Knows nothing of files: `load` reads simulations, `benchmarks.simulate` runs them.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from configs.schema import Name, ScalingConfig, Strict

Duration = Annotated[float, Field(ge=0)]
# One value, or equally likely ones, as measured: each draw takes one of them.
Samples = Duration | Annotated[tuple[Duration, ...], Field(min_length=1)]


class ServiceModel(Strict):
    """How long things take on one replica: a step gives each running sequence a token and reads prompts."""

    overhead_ms: Samples = Field(
        description="What the way to the engine and back adds to a request, in milliseconds."
    )
    step_ms: float = Field(gt=0, description="Fixed part of a step, in milliseconds.")
    step_us_per_running: float = Field(
        default=0.0, ge=0, description="What each running sequence adds to a step, in microseconds."
    )
    prefill_us_per_token: float = Field(
        default=0.0, ge=0, description="What each token of a prompt adds to the step that reads it."
    )
    max_batched_tokens: int = Field(
        default=2048,
        ge=1,
        description="Tokens of one step: one of each running sequence, the rest chunks of prompts.",
    )
    max_running: int = Field(default=256, ge=1, description="Sequences in the batch; others wait their turn.")


class NodePool(Strict):
    """The nodes that replicas run on, as a provisioner such as Karpenter adds and removes them."""

    instance: Name = Field(description="Instance type.")
    usd_per_hour: float | None = Field(
        default=None, ge=0, description="Price of one; None: the table's, on demand in us-east-1."
    )
    replicas_per_node: int = Field(default=1, ge=1, description="Replicas that fit on one.")
    min_nodes: int = Field(default=0, ge=0, description="Nodes that always run.")
    max_nodes: int = Field(ge=1, description="Upper bound of the pool.")
    provision_s: Samples = Field(
        description="Seconds from a replica that has no place to a node that takes it."
    )
    first_start_s: Samples = Field(
        default=0.0,
        description="Seconds that a node's first replica waits longer, for its image for example.",
    )
    idle_s: float = Field(ge=0, description="Seconds for which a node stays without a replica.")

    @model_validator(mode="after")
    def _bounds(self) -> NodePool:
        if self.min_nodes > self.max_nodes:
            raise ValueError(f"min_nodes {self.min_nodes} is above max_nodes {self.max_nodes}")
        return self


class Stack(Strict):
    """One way to serve a workload."""

    service: ServiceModel = Field(
        description="How long a replica takes. In a file also the path of a calibration, which has one."
    )
    scaling: ScalingConfig = Field(
        default=ScalingConfig(), description="Replicas and limits, as in a profile."
    )
    num_ingress_replicas: int = Field(default=1, ge=1, description="Callers, each with its own queue.")
    replica_start_s: Samples = Field(
        description="Seconds from a place on a node to a replica that takes requests: process, weights, warm-up."
    )
    nodes: NodePool | None = Field(
        default=None, description="None: there is always a place, and nothing is said of costs."
    )
    fixed_usd_per_hour: float = Field(
        default=0.0, ge=0, description="What runs whatever the load: the head node, for example."
    )
    rate_factor: float = Field(
        default=1.0, gt=0, description="2 lets the workload's requests arrive in half the time."
    )


class Variant(Strict):
    """A stack that differs from the simulation's."""

    name: Name = Field(description="What the table calls it.")
    changes: dict[str, object] = Field(
        description="Keys of the stack, as deep as needed, with other values; everything else stays."
    )


class Simulation(Strict):
    """A workload, a way to serve it, and others to compare it with."""

    name: Name = Field(default="simulation", description="Part of the results folder's name.")
    workload: str = Field(min_length=1, description="Path of a workload file, relative to this one.")
    stack: Stack = Field(description="The way to serve it.")
    variants: tuple[Variant, ...] = Field(default=(), description="Others, each against the same workload.")

    @model_validator(mode="after")
    def _names(self) -> Simulation:
        names = [variant.name for variant in self.variants] + ["base"]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"the variant {name!r} is there twice (the stack itself is called base)")
        return self
