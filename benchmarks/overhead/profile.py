"""The profile that is measured: a whole application with one chat model, such as the mock at the benchmark's pace.

Written as JSON, which is YAML too; nothing but `configs.load` reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.overhead.pace import MODEL, Pace
from configs.schema import PlatformConfig

AGENT = "manta"
MAX_ANSWER_TOKENS = 4000  # of the agent, so that no measurement meets its limit
# Far more than the benchmark ever has in flight: what is measured is the path, not a limit.
_MAX_ONGOING = 1024
_MAX_QUEUED = 4096

Transport = Literal["channel", "plain"]


@dataclass(frozen=True, slots=True)
class Replicas:
    """How many of each; `2x4` is two of the ingress (and the agent) and four of the engine."""

    num_ingress: int = 1
    num_engine: int = 1

    @classmethod
    def parse(cls, text: str) -> Replicas:
        """From `2x4`.

        Raises:
            ValueError: it is not two numbers above 0.
        """
        ingress, _, engine = text.partition("x")
        replicas = cls(int(ingress), int(engine))
        if min(replicas.num_ingress, replicas.num_engine) < 1:
            raise ValueError(f"{text} has a part without a replica")
        return replicas

    def __str__(self) -> str:
        return f"{self.num_ingress}x{self.num_engine}"


ONE = Replicas()


def has_transports() -> bool:
    """Whether the configuration lets one choose how streams travel."""
    return "streams" in PlatformConfig.model_fields


def platform_of(
    pace: Pace,
    replicas: Replicas,
    transport: Transport | None = None,
    engine: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The application at the benchmark's pace.

    Args:
        transport: of streams between replicas; None: as the configuration has it by default.
        engine: further settings of the mock engine.
    """
    return platform_around(_model(pace) | (engine or {}), replicas, transport)


def platform_around(
    model: Mapping[str, Any], replicas: Replicas = ONE, transport: Transport | None = None
) -> dict[str, Any]:
    """An application that serves one model.

    Args:
        model: its configuration; without `scaling` it has as many replicas as `replicas` says.
        replicas: of the ingress, the agent and the model.
        transport: of streams between replicas; None: as the configuration has it by default.
    """
    edge = scaling(replicas.num_ingress)
    platform: dict[str, Any] = {
        "ingress": {"scaling": edge},
        "models": [{"scaling": scaling(replicas.num_engine), **model}],
        "embedder": {"name": "embedder", "engine": "mock"},
        "knowledge": {"store": {"kind": "memory"}},
        "agent": {
            "name": AGENT,
            "models": [model["name"]],
            "max_answer_tokens": MAX_ANSWER_TOKENS,
            "scaling": edge,
        },
    }
    if transport is not None:
        platform["streams"] = {"transport": transport}
    return platform


def _model(pace: Pace) -> dict[str, Any]:
    return {
        "name": MODEL,
        "engine": "mock",
        "ttft_ms": pace.ttft_ms,
        "tpot_ms": pace.tpot_ms,
        "num_output_tokens": pace.num_tokens,
        "max_concurrent": _MAX_ONGOING,
    }


def scaling(num: int) -> dict[str, Any]:
    """Of a deployment with so many replicas, whose limits nothing here meets."""
    return {
        "min_replicas": num,
        "max_replicas": num,
        "max_ongoing_requests": _MAX_ONGOING,
        "max_queued_requests": _MAX_QUEUED,
    }
