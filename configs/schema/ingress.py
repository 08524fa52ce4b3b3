"""The HTTP door, and how streams travel behind it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from configs.schema.base import Name, Strict
from configs.schema.scaling import ScalingConfig


class IngressConfig(Strict):
    """The HTTP door."""

    max_body_bytes: int = Field(
        default=48 * 1024 * 1024, ge=1024, description="Largest request body; beyond it 413."
    )
    max_embedding_inputs: int = Field(default=2048, ge=1, description="Texts in one /v1/embeddings request.")
    default_deadline_s: float = Field(
        default=120.0, gt=0, description="Seconds that a request has when it does not say."
    )
    max_deadline_s: float = Field(default=600.0, gt=0, description="Most seconds that a request may ask for.")
    priorities: tuple[Literal["interactive", "batch"], ...] = Field(
        default=("interactive", "batch"),
        min_length=1,
        description="Priorities that requests may ask for; the first is that of requests that ask for none.",
    )
    default_tenant: Name = Field(default="default", description="Tenant of requests that name none.")
    scaling: ScalingConfig = Field(
        default=ScalingConfig(max_ongoing_requests=512, max_queued_requests=1024),
        description="Replicas and limits.",
    )


class StreamsConfig(Strict):
    """How the streams of engines and agents travel to who called them."""

    transport: Literal["channel", "plain"] = Field(
        default="channel",
        description="`channel`: the streams of two replicas share one connection of their own, and their frames "
        "travel together. `plain`: each frame is a message of Ray Serve.",
    )
    own_calls_per_s: float = Field(
        default=100.0,
        ge=0,
        description="`channel` only: up to so many requests a second from one replica to one model or agent are "
        "placed one by one by Ray Serve. Beyond that it places twenty a second, and the others go where those went, to "
        "the replica with the fewest, without what a call of Serve costs. For those that Serve scales by its calls "
        "(`policy: ongoing_requests`), and models with an `affinity`, each is always placed by itself.",
    )
    continues: bool = Field(
        default=True,
        description="Continue an answer whose replica was lost on another one, if the request makes the same text "
        "again: `temperature` 0 or a `seed`, one choice, no tools. Otherwise, and where the texts differ, the "
        "client gets an error event.",
    )
    silence_timeout_s: float = Field(
        default=10.0,
        gt=0,
        description="Seconds without an answer after which the replica at the other end of a channel counts as hung: "
        "its streams are lost, and so are requests that it has not begun with so long after they were sent to it. What "
        "can be asked again is, of another; calls go to others for half a minute, or until it answers.",
    )
