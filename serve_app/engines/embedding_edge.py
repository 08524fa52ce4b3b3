"""OpenAI's /v1/embeddings over a TextEmbedder.

Knows nothing of how vectors are made.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from serve_app.engines.base import TextEmbedder
from serve_app.errors import BadRequest
from serve_app.messages import Embeddings, Endpoint, JsonObject, ModelCard, RequestContext
from serve_app.openai_api.requests import EmbeddingRequest, parse_embedding
from serve_app.openai_api.responses import embedding_document


class EmbeddingEdge:
    """An EmbeddingEngine made of a TextEmbedder."""

    def __init__(self, embedder: TextEmbedder) -> None:
        self._embedder = embedder

    def card(self) -> ModelCard:
        return self._embedder.card()

    async def describe(self) -> ModelCard:
        return self._embedder.card()

    async def respond(self, endpoint: Endpoint, body: JsonObject, context: RequestContext) -> bytes:
        if endpoint is not Endpoint.EMBEDDINGS:
            raise BadRequest(
                f"{self.card().name} is an embedding model: it serves /v1/embeddings only", "model"
            )
        request = parse_embedding(body)
        self._check_dimensions(request)
        embeddings = await self._embedder.embed(
            _inputs(request), context, is_query=request.input_type == "query", truncate=request.truncate
        )
        return embedding_document(
            request.model,
            embeddings.vectors,
            sum(embeddings.num_tokens),
            as_base64=request.encoding_format == "base64",
            num_truncated=embeddings.num_truncated,
        )

    async def stream(
        self, endpoint: Endpoint, body: JsonObject, context: RequestContext
    ) -> AsyncIterator[bytes]:
        yield await self._refuse_stream()

    async def _refuse_stream(self) -> bytes:
        raise BadRequest(f"{self.card().name} is an embedding model: it does not stream", "stream")

    async def embed(
        self,
        texts: Sequence[str] | Sequence[Sequence[int]],
        context: RequestContext,
        *,
        is_query: bool = False,
        truncate: bool = False,
    ) -> Embeddings:
        embeddings = await self._embedder.embed(texts, context, is_query=is_query, truncate=truncate)
        return replace(embeddings, embedding_id=self.card().embedding_id)

    async def count_tokens(self, texts: Sequence[str], context: RequestContext) -> list[int]:
        return await self._embedder.count_tokens(texts, context)

    async def check_health(self) -> None:
        await self._embedder.check_health()

    async def close(self) -> None:
        await self._embedder.close()

    def _check_dimensions(self, request: EmbeddingRequest) -> None:
        dim = self.card().dim
        if request.dimensions is not None and request.dimensions != dim:
            raise BadRequest(
                f"dimensions is {dim} for {self.card().name}, not {request.dimensions}", "dimensions"
            )


def _inputs(request: EmbeddingRequest) -> list[str] | list[list[int]]:
    """The request's texts (or token ids) as a list; nothing in it may be empty."""
    given = request.input
    inputs: list[str] | list[list[int]]
    if isinstance(given, str):
        inputs = [given]
    else:
        ids = [item for item in given if isinstance(item, int)]
        texts = [item for item in given if isinstance(item, str)]
        inputs = [ids] if ids else texts or [item for item in given if isinstance(item, list)]
    if not inputs:
        raise BadRequest("input is empty", "input")
    for index, one in enumerate(inputs):
        if not one:
            raise BadRequest(f"input.{index} is empty", f"input.{index}")
    return inputs
