"""POST /v1/rerank, which OpenAI has not: as vLLM, Jina and Cohere have it.

Shape: https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html (Re-rank API), read 2026-11.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from serve_app.messages import JsonObject, Scores
from serve_app.openai_api.requests import ModelName, parse
from serve_app.openai_api.responses import encode


class RerankDocument(BaseModel):
    """A text in an object."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    text: str


class RerankRequest(BaseModel):
    """A question, and the texts to be ordered by how well they answer it."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    model: ModelName
    query: Annotated[str, Field(min_length=1)]
    documents: Annotated[list[str | RerankDocument], Field(min_length=1)]
    top_n: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None  # None and 0: all of them
    return_documents: bool = True

    def texts(self) -> list[str]:
        return [one if isinstance(one, str) else one.text for one in self.documents]


def parse_rerank(body: JsonObject) -> RerankRequest:
    return parse(RerankRequest, body)


def rerank_document(request: RerankRequest, scores: Scores, request_id: str) -> bytes:
    """The document, best first; equal scores in the order of the request."""
    texts = request.texts()
    results = [_result(request, texts, index, scores) for index in best(scores.values)]
    counts: JsonObject = {"prompt_tokens": scores.num_tokens, "total_tokens": scores.num_tokens}
    if scores.num_truncated:
        counts["truncated_inputs"] = scores.num_truncated
    return encode(
        {
            "id": f"rerank-{request_id}",
            "object": "list",
            "model": request.model,
            "usage": counts,
            "results": results[: request.top_n or None],
        }
    )


def best(scores: Sequence[float]) -> list[int]:
    """Places of the scores, the highest first."""
    return sorted(range(len(scores)), key=lambda index: (-scores[index], index))


def _result(request: RerankRequest, texts: Sequence[str], index: int, scores: Scores) -> JsonObject:
    result: JsonObject = {"index": index, "relevance_score": scores.values[index]}
    return result | ({"document": {"text": texts[index]}} if request.return_documents else {})
