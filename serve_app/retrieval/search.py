"""Search of one tenant's base: a lexical and a dense leg, fused by rank.

Where the store fuses itself it is asked once, with the query's vector. Else the lexical leg runs while
the query is embedded, so the embedder's time costs nothing but what it exceeds the lexical search by.
Without an embedder there is the lexical leg, and a flag that says so.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from configs.schema import RetrievalConfig
from serve_app.errors import BadRequest, DeadlineExceeded, MantaError, Unavailable
from serve_app.messages import Passage, RequestContext, SearchMode, SearchQuery, SearchResult
from serve_app.retrieval.base import Filters, Fused, Hit, HybridQuery, Store
from serve_app.retrieval.embedding import CheckedEmbedder, QueryVector
from serve_app.retrieval.filters import parse
from serve_app.retrieval.fusion import fuse

LEXICAL_ONLY = "lexical_only"

logger = logging.getLogger("manta.retrieval")


@dataclass(frozen=True, slots=True)
class _Found:
    """What a search found, best first, and with which model's vectors."""

    ranking: list[Fused]
    embedding_id: str | None  # None: the dense leg had no part in it


class Searcher:
    """Answers searches from a store."""

    def __init__(self, store: Store, embedder: CheckedEmbedder, config: RetrievalConfig) -> None:
        self._store = store
        self._embedder = embedder
        self._config = config

    async def search(self, query: SearchQuery, context: RequestContext) -> SearchResult:
        start_s = time.perf_counter()
        text, filters = self._checked(query), parse(query.filters)
        num_candidates = max(self._config.num_candidates, query.k)
        context.deadline.check("search")
        try:
            async with asyncio.timeout(context.deadline.remaining_s()) as timer:
                found = await self._run(text, query, num_candidates, filters, context)
        except TimeoutError as exc:
            if not timer.expired():
                raise
            raise DeadlineExceeded("the request's time was over at: search", "search") from exc
        is_lexical_only = found.embedding_id is None and query.mode is not SearchMode.LEXICAL
        return SearchResult(
            passages=tuple(map(_passage, found.ranking[: query.k])),
            flags=(LEXICAL_ONLY,) if is_lexical_only else (),
            took_s=time.perf_counter() - start_s,
            embedding_id=found.embedding_id,
        )

    def _checked(self, query: SearchQuery) -> str:
        if not 1 <= query.k <= self._config.max_k:
            raise BadRequest(f"k must be from 1 to {self._config.max_k}, not {query.k}", "k")
        # JSON can spell half of a surrogate pair, which is no character: it cannot be searched for.
        text = query.text.encode(errors="replace").decode()
        if not text.strip():
            raise BadRequest("the query is empty", "query")
        return text

    async def _run(
        self, text: str, query: SearchQuery, num: int, filters: Filters, context: RequestContext
    ) -> _Found:
        if query.mode is SearchMode.LEXICAL:
            return _Found(_lexical(await self._lexical(text, num, filters, context)), None)
        if query.mode is SearchMode.DENSE:
            embedded = await self._embed_or_raise(text, context)
            hits = await self._dense(embedded, num, filters, context)
            return _Found(_dense(hits), embedding_id=embedded.space.embedding_id)
        if self._store.fuses:
            return await self._fused(text, query.k, num, filters, context)
        return await self._two_legs(text, num, filters, context)

    async def _fused(self, text: str, k: int, num: int, filters: Filters, context: RequestContext) -> _Found:
        """The store's own fusion; the lexical leg alone if the query cannot be embedded."""
        embedded = await self._embed(text, context)
        if embedded is None:
            hits = await self._lexical(text, num, filters, context)
            return _Found(_single(hits, self._config.rrf_k), None)
        asked = self._hybrid(text, embedded, num)
        ranking = await self._store.search_hybrid(context.tenant, asked, k, filters, context.deadline)
        return _Found(ranking, embedding_id=asked.embedding_id)

    async def _two_legs(self, text: str, num: int, filters: Filters, context: RequestContext) -> _Found:
        """The lexical leg at once, the dense one as soon as there is a vector."""
        lexical = asyncio.create_task(self._lexical(text, num, filters, context))
        try:
            embedded = await self._embed(text, context)
            if embedded is None:
                return _Found(_single(await lexical, self._config.rrf_k), None)
            dense = await self._dense(embedded, num, filters, context)
            asked = self._hybrid(text, embedded, num)
            return _Found(fuse(await lexical, dense, asked), embedding_id=asked.embedding_id)
        finally:
            lexical.cancel()
            await asyncio.gather(lexical, return_exceptions=True)

    def _hybrid(self, text: str, embedded: QueryVector, num: int) -> HybridQuery:
        return HybridQuery(text, embedded.space.embedding_id, embedded.vector, num, self._config.rrf_k)

    async def _lexical(self, text: str, k: int, filters: Filters, context: RequestContext) -> list[Hit]:
        return await self._store.search_lexical(context.tenant, text, k, filters, context.deadline)

    async def _dense(
        self, query: QueryVector, k: int, filters: Filters, context: RequestContext
    ) -> list[Hit]:
        return await self._store.search_dense(
            context.tenant, query.space.embedding_id, query.vector, k, filters, context.deadline
        )

    async def _embed(self, text: str, context: RequestContext) -> QueryVector | None:
        """The query's vector; None, with the reason in the log, if there is none to be had in time."""
        try:
            return await self._embed_or_raise(text, context)
        except Unavailable as exc:
            logger.warning("lexical search only: %s", exc)
            return None

    async def _embed_or_raise(self, text: str, context: RequestContext) -> QueryVector:
        try:
            async with asyncio.timeout(context.deadline.within(self._config.embed_timeout_s)):
                return await self._embedder.query(text, context)
        except TimeoutError as exc:
            context.deadline.check("embedding the query")
            limit_s = self._config.embed_timeout_s
            raise Unavailable(f"the query was not embedded within {limit_s:g} s") from exc
        except MantaError as exc:
            context.deadline.check("embedding the query")
            raise Unavailable(f"the query could not be embedded: {exc}") from exc


def _lexical(hits: Sequence[Hit]) -> list[Fused]:
    return [Fused(hit.chunk, hit.score, cosine=None, bm25=hit.score) for hit in hits]


def _dense(hits: Sequence[Hit]) -> list[Fused]:
    return [Fused(hit.chunk, hit.score, cosine=hit.score, bm25=None) for hit in hits]


def _single(lexical: Sequence[Hit], rank_constant: int) -> list[Fused]:
    """A fusion of one leg: its order, with scores on the fusion's scale."""
    return [
        Fused(hit.chunk, 1.0 / (rank_constant + rank), cosine=None, bm25=hit.score)
        for rank, hit in enumerate(lexical, start=1)
    ]


def _passage(found: Fused) -> Passage:
    chunk = found.chunk
    return Passage(
        id=chunk.id,
        document_id=chunk.document_id,
        source=chunk.source,
        path=chunk.path,
        title=chunk.title,
        headings=chunk.headings,
        text=chunk.text,
        ordinal=chunk.ordinal,
        page=chunk.page,
        metadata=chunk.metadata,
        score=found.score,
        cosine=found.cosine,
        bm25=found.bm25,
    )
