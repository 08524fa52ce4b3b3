"""What is measured: the plain application, and the same with more and more of a front door. Pure.

Everything is switched on and nothing is ever reached: what is measured is the looking, not the refusing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.overhead.pace import MODEL, Pace
from benchmarks.overhead.profile import Replicas, platform_of

Store = Literal["embedded", "redis"]
Step = Literal["key", "limits", "guards", "miss", "audit", "semantic"]

# Each with all that stand before it.
STEPS: dict[Step, str] = {
    "key": "an API key, and its usage counted",
    "limits": "and limits of key, tenant and model: requests, tokens, concurrency, money",
    "guards": "and guards on what goes in and what comes out",
    "miss": "and an answer cache that has not got it",
    "audit": "and a line in the audit log",
    "semantic": "and a look for a question of the same meaning, by a real embedder",
}
STORES: tuple[Store, ...] = ("embedded", "redis")
# Long enough that two cores have time left with 32 callers: where they have none, a closed loop's latency is the
# machine's queue, and grows by 32 times what is added.
PACE = Pace(ttft_ms=100.0, tpot_ms=12.0, num_tokens=32)
TENANT = "benchmark"

_EVERYTHING = {
    "requests_per_min": 1e9,
    "tokens_per_min": 1e12,
    "max_concurrent": 1_000_000,
    "usd_per_day": 1e6,
    "usd_per_month": 1e6,
}
_PRICE = {"usd_per_million_prompt_tokens": 0.01, "usd_per_million_answer_tokens": 0.01}
_GUARDS = {
    "topics": {"weapons": ["build a bomb", "nerve agent"]},
    "input": {"pii": "redact", "secrets": "block", "injection": "flag", "topics": "block"},
    "output": {"pii": "redact", "secrets": "redact"},
}
EMBEDDER = {
    "name": "all-minilm-l6-v2",
    "engine": "auto",
    "weights": {"catalogue": "all-minilm-l6-v2"},
    "num_threads": 1,
    "scaling": {"max_ongoing_requests": 64, "num_cpus": 1},
}

Platform = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Setting:
    """One application that is measured beside the plain one."""

    step: Step
    store: Store

    @property
    def name(self) -> str:
        return f"{self.store}, {self.step}"

    def has(self, step: Step) -> bool:
        """Whether this or a later step is in it."""
        order = tuple(STEPS)
        return order.index(step) <= order.index(self.step)

    def platform(self, redis: Mapping[str, Any]) -> Platform:
        """Its configuration.

        Args:
            redis: `door.redis`, used where the store is there.
        """
        door: Platform = {"authentication": {"keys": {"store": self.store}}}
        front: Platform = {}
        if self.store == "redis":
            door["redis"] = dict(redis)
        if self.has("limits"):
            door |= {"key_limits": _EVERYTHING, "tenant_limits": _EVERYTHING, "prices": {MODEL: _PRICE}}
            door["model_limits"] = {MODEL: _EVERYTHING}
        if self.has("guards"):
            front["guards"] = _GUARDS
        if self.has("miss"):
            front["cache"] = {"store": self.store}
        if self.has("audit"):
            door["audit"] = {}
        platform = plain()
        if self.has("semantic"):
            front["cache"]["semantic"] = {"by_default": True, "timeout_s": 5.0}
            platform["embedder"] = EMBEDDER
        return platform | {"door": door, "front": front}


def plain() -> Platform:
    """The application without any of it."""
    return platform_of(PACE, Replicas())


def with_hits(store: Store, redis: Mapping[str, Any]) -> Platform:
    """The whole door, with a cache that also finds questions of the same meaning for those who ask for that."""
    platform = Setting("audit", store).platform(redis)
    platform["front"]["cache"]["semantic"] = {"timeout_s": 5.0}
    return platform | {"embedder": EMBEDDER}


def behind_gateway(pace: Pace, master_key_variable: str) -> Platform:
    """The plain application, with LiteLLM configured in front of it."""
    return platform_of(pace, Replicas()) | {"litellm": {"master_key": {"env": master_key_variable}}}
