"""What a soak asks, of which application: everything that could leave something behind.

Streams and whole answers, clients that leave in the middle, requests that are refused, answers of the agent with
its retrieval, embeddings. Written as JSON, which is YAML too; nothing but `configs.load` reads it.
"""

from __future__ import annotations

from typing import Any

from benchmarks.scenarios.knowledge import QUESTIONS
from configs.workload import (
    Abandonment,
    AgentRequest,
    Arrivals,
    ChatRequest,
    CompletionRequest,
    EmbeddingRequest,
    LoadRequest,
    LognormalLength,
    Workload,
)

MODEL = "mock"
EMBEDDER = "embedder"
NOBODY = "nobody"  # a model that is not served
# Entries whose every request must end so; all others must be answered or left by their client.
EXPECTED_FAILURES = {"unknown-model": 404, "bad-field": 400}

_LENGTHS = LognormalLength(distribution="lognormal", median=40, sigma=0.8, low=4, high=300)


def requests() -> tuple[LoadRequest, ...]:
    """The mix."""
    leaving = Abandonment(fraction=1.0, after_s=0.15)
    return (
        ChatRequest(kind="chat", weight=5, prompt_tokens=64, output_tokens=_LENGTHS),
        ChatRequest(
            kind="chat", name="chat-left", weight=2, prompt_tokens=64, output_tokens=200, abandon=leaving
        ),
        ChatRequest(
            kind="chat", name="chat-whole", weight=1, prompt_tokens=64, output_tokens=40, stream=False
        ),
        ChatRequest(
            kind="chat",
            name="chat-whole-left",
            weight=1,
            prompt_tokens=64,
            output_tokens=200,
            stream=False,
            abandon=leaving,
        ),
        CompletionRequest(kind="completions", weight=1, prompt_tokens=64, output_tokens=_LENGTHS),
        EmbeddingRequest(kind="embeddings", weight=3, model=EMBEDDER, prompt_tokens=64, num_inputs=4),
        AgentRequest(kind="agent", weight=2, texts=str(QUESTIONS)),
        AgentRequest(kind="agent", name="agent-left", weight=1, texts=str(QUESTIONS), abandon=leaving),
        ChatRequest(kind="chat", name="unknown-model", weight=1, model=NOBODY, prompt_tokens=8),
        ChatRequest(
            kind="chat", name="bad-field", weight=1, prompt_tokens=8, extra_body={"temperature": "hot"}
        ),
    )


def workload(arrivals: Arrivals, duration_s: float, seed: int) -> Workload:
    """The mix, arriving so."""
    return Workload(
        name="soak",
        seed=seed,
        duration_s=duration_s,
        warm_up_s=0.0,
        timeout_s=60.0,
        arrivals=arrivals,
        requests=requests(),
    )


def platform() -> dict[str, Any]:
    """The application's configuration."""
    two = {"min_replicas": 2, "max_replicas": 2, "max_ongoing_requests": 256, "max_queued_requests": 1024}
    one = two | {"min_replicas": 1, "max_replicas": 1}
    model = {"name": MODEL, "engine": "mock", "jitter": 0.1, "max_concurrent": 256, "scaling": two}
    return {
        "ingress": {"scaling": one},
        "models": [model],
        "embedder": {"name": EMBEDDER, "engine": "mock", "dim": 256, "scaling": one},
        "knowledge": {"store": {"kind": "lancedb"}, "scaling": one},
        "agent": {"name": "manta", "models": [MODEL], "max_answer_tokens": 64, "scaling": one},
    }
