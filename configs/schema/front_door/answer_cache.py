"""The answer cache: what was answered once is not computed again."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from configs.schema.base import Fraction, Strict


class SemanticCacheConfig(Strict):
    """Answers to questions that mean the same, by the embedder."""

    threshold: Fraction = Field(
        default=0.93,
        description="Least cosine of two questions that mean the same. The default was chosen by cross-validation for "
        "all-minilm-l6-v2 (docs/front-door.md); other embedders need their own: `python -m benchmarks semantic-cache`.",
    )
    by_default: bool = Field(
        default=False,
        description="For every request that may be cached; else only for those that send `x-manta-cache: semantic`.",
    )
    max_questions: int = Field(
        default=1000,
        ge=1,
        description="Questions that are compared with, in one scope: of one tenant, model, conversation, system prompt "
        "and tools. The oldest go first.",
    )
    max_question_chars: int = Field(
        default=800,
        ge=16,
        description="Longer questions are only compared exactly: the embedder would cut them.",
    )
    timeout_s: float = Field(
        default=0.5, gt=0, description="Seconds for the embedder, after which the model is asked."
    )


class AnswerCacheConfig(Strict):
    """What is kept, where, and for whom."""

    store: Literal["embedded", "redis"] = Field(
        default="embedded",
        description="`embedded`: in the memory of each replica of the ingress. `redis`: in `door.redis`, for all.",
    )
    ttl_s: float = Field(default=3600.0, gt=0, description="Seconds for which an answer is kept.")
    max_bytes: int = Field(
        default=64 * 1024 * 1024,
        ge=65_536,
        description="Memory of the embedded store; the least used goes first.",
    )
    max_answer_bytes: int = Field(default=256 * 1024, ge=1024, description="Longer answers are not kept.")
    only_deterministic: bool = Field(
        default=True,
        description="Only requests with `temperature` 0 or a `seed`, agents' answers, and those that send "
        "`x-manta-cache: exact` or `semantic`. False: all.",
    )
    semantic: SemanticCacheConfig | None = Field(
        default=None, description="Also for questions that mean the same; None: only for the same request."
    )
