"""Conversations that outlive a request."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from configs.schema.base import Name, Strict
from configs.schema.front_door.door import RedisConfig


class SessionsConfig(Strict):
    """Where conversations are kept, for how long, and how much of them."""

    store: Literal["embedded", "redis"] = Field(
        default="embedded",
        description="`embedded`: a file below `home`, for an application on one machine. `redis`: shared by all.",
    )
    redis: RedisConfig | None = Field(
        default=None, description="The Redis of `store: redis`; None: that of `door.redis`."
    )
    ttl_s: float = Field(
        default=7 * 86_400.0,
        ge=1,
        description="Seconds after its last turn at which a conversation is forgotten.",
    )
    max_messages: int = Field(
        default=400, ge=4, description="Messages that are kept of a conversation, two a turn; the oldest go."
    )
    max_bytes: int = Field(
        default=256 * 1024,
        ge=65_536,
        description="Most that is kept of a conversation; the oldest messages go.",
    )
    max_per_user: int = Field(
        default=100,
        ge=1,
        le=1000,
        description="Conversations of one user; the one whose last turn is oldest goes.",
    )
    summary_model: Name | None = Field(
        default=None,
        description="Chat model that summarises the older part of a conversation. None: older messages are kept and"
        " not shown to the model. With one, messages that no summary covers are never dropped.",
    )
    summarise_above_tokens: int = Field(
        default=1200,
        ge=100,
        description="Tokens (estimated, 4 characters each) of messages without a summary, above which one is made;"
        " the newest half stays word for word.",
    )
    summary_tokens: int = Field(default=300, ge=50, description="Longest summary.")
    summary_timeout_s: float = Field(
        default=60.0, gt=0, description="Seconds for a summary; no answer waits for it."
    )
