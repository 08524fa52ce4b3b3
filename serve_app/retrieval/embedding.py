"""Vectors that the knowledge base may keep: an embedder's, checked one by one.

A wrong vector is worse than none, because nothing downstream can tell; so what is not finite, not of
length one or not of the model expected never gets past this file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from configs.schema import ChunkingConfig
from serve_app.engines.base import EmbeddingClient
from serve_app.errors import BadRequest, ConfigError, DeadlineExceeded, EngineFailed, Unavailable
from serve_app.messages import Embeddings, Priority, RequestContext, Vectors
from serve_app.retrieval.documents.chunking import FREE_HEADING_TOKENS

_BATCH = 128  # texts of one call to the embedder
_NUM_MARKS = 2  # [CLS] and [SEP], or their like
_NORM_TOLERANCE = 1e-2


@dataclass(frozen=True, slots=True)
class VectorSpace:
    """The model whose vectors can be compared with each other."""

    embedding_id: str
    dim: int


@dataclass(frozen=True, slots=True)
class QueryVector:
    """A query's vector, and the space that it lies in."""

    space: VectorSpace
    vector: Vectors  # (dim,) float32, L2-normalised


@dataclass(slots=True)
class PassageVectors:
    """What became of texts, by the keys that they were given under: each is in exactly one of both."""

    vectors: dict[str, Vectors] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)  # why there is no vector


class CheckedEmbedder:
    """An embedder whose every vector is checked."""

    def __init__(self, client: EmbeddingClient) -> None:
        self._client = client

    async def space(self, chunking: ChunkingConfig, context: RequestContext) -> VectorSpace:
        """The space of the model that is served now.

        Raises:
            ConfigError: the chunks are longer than what the model reads.
            Unavailable, EngineFailed: the model is down, or does not say who it is.
        """
        try:
            async with asyncio.timeout(context.deadline.remaining_s()):
                card = await self._client.describe()
        except TimeoutError as exc:
            raise DeadlineExceeded(
                "the request's time was over at: describing the embedder", "embed"
            ) from exc
        if card.embedding_id is None or card.dim is None:
            raise EngineFailed(f"the embedder {card.name} does not say its embedding_id and dim")
        # A chunk is embedded with its headings, and between the model's own two marks.
        room = None if card.context_tokens is None else card.context_tokens - FREE_HEADING_TOKENS - _NUM_MARKS
        if room is not None and chunking.max_tokens > room:
            raise ConfigError(
                f"knowledge.chunking.max_tokens is {chunking.max_tokens}, but {card.name} reads no more than "
                f"{card.context_tokens} tokens, of which {FREE_HEADING_TOKENS} are for headings and {_NUM_MARKS} for "
                f"marks: at most {room}"
            )
        return VectorSpace(card.embedding_id, card.dim)

    async def count_tokens(self, texts: Sequence[str], context: RequestContext) -> list[int]:
        return await self._client.count_tokens(texts, context)

    async def query(self, text: str, context: RequestContext) -> QueryVector:
        """The query's vector; a query that is too long is cut, since its beginning says what is asked.

        Raises:
            EngineFailed: the vector is none. Others: as EmbeddingClient.embed.
        """
        embeddings = await self._client.embed([text], context, is_query=True, truncate=True)
        fault = _fault(embeddings, 0) if embeddings.vectors.shape[0] == 1 else "it gave no vector"
        if fault is None and embeddings.embedding_id is None:
            fault = "it does not say its embedding_id"
        if fault is not None:
            raise EngineFailed(f"the embedder cannot be used: {fault}")
        vector = embeddings.vectors[0]
        return QueryVector(VectorSpace(str(embeddings.embedding_id), vector.shape[0]), vector)

    async def passages(
        self, texts: dict[str, str], space: VectorSpace, context: RequestContext
    ) -> PassageVectors:
        """Vectors of texts (key -> text), in calls of many; a text at fault is found and named.

        What is over the model's limit (title and headings come on top of a chunk) is cut for the
        vector; the lexical index has it all.

        Raises:
            Unavailable: the embedder is down, fails on every text, or became another model.
            Overloaded, DeadlineExceeded.
        """
        result = PassageVectors()
        keys = list(texts)
        for start in range(0, len(keys), _BATCH):
            batch = keys[start : start + _BATCH]
            await self._embed(batch, texts, space, context, result)
            if not any(key in result.vectors for key in batch) and not await self._works(space, context):
                raise Unavailable(f"the embedder fails on every text: {result.faults[batch[0]]}")
        return result

    async def _works(self, space: VectorSpace, context: RequestContext) -> bool:
        """Whether a text that is surely not at fault gets a vector."""
        probe = PassageVectors()
        await self._embed(["probe"], {"probe": "A manta ray glides over the reef."}, space, context, probe)
        return bool(probe.vectors)

    async def _embed(
        self,
        keys: Sequence[str],
        texts: dict[str, str],
        space: VectorSpace,
        context: RequestContext,
        result: PassageVectors,
    ) -> None:
        patient = replace(context, priority=Priority.BATCH)  # questions go first
        try:
            embeddings = await self._client.embed([texts[key] for key in keys], patient, truncate=True)
        except (BadRequest, EngineFailed) as exc:
            if len(keys) == 1:
                result.faults[keys[0]] = exc.message
                return
            middle = len(keys) // 2
            for half in (keys[:middle], keys[middle:]):
                await self._embed(half, texts, space, context, result)
            return
        if embeddings.embedding_id != space.embedding_id:
            raise Unavailable("the embedding model changed during the ingestion; sync again")
        num_rows, dim = embeddings.vectors.shape
        if (num_rows, dim) != (len(keys), space.dim):
            reason = f"the embedder gave {num_rows} vectors of {dim} for {len(keys)} texts of {space.dim}"
            result.faults.update(dict.fromkeys(keys, reason))
            return
        for row, key in enumerate(keys):
            fault = _fault(embeddings, row)
            if fault is None:
                result.vectors[key] = embeddings.vectors[row]
            else:
                result.faults[key] = fault


def _fault(embeddings: Embeddings, row: int) -> str | None:
    vector = embeddings.vectors[row]
    if not np.isfinite(vector).all():
        return "the embedder gave a vector that is not finite"
    norm = float(np.linalg.norm(vector))
    if abs(norm - 1.0) > _NORM_TOLERANCE:
        return f"the embedder gave a vector of length {norm:.3g} instead of 1"
    return None
