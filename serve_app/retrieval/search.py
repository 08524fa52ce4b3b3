"""Search of one tenant's base: a lexical and a dense leg, fused by rank.

The lexical leg runs while the query is embedded, so the embedder's time costs nothing but what it
exceeds the lexical search by. Without an embedder there is the lexical leg, and a flag that says so.
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
from serve_app.retrieval.base import Chunk, Filters, Hit, Store
from serve_app.retrieval.embedding import CheckedEmbedder, QueryVector
from serve_app.retrieval.filters import parse
from serve_app.retrieval.fusion import reciprocal_rank_fusion

LEXICAL_ONLY = "lexical_only"

logger = logging.getLogger("manta.retrieval")


@dataclass(slots=True)
class _Legs:
    """What the legs found; None for a leg that did not run."""

    lexical: list[Hit] | None = None
    dense: list[Hit] | None = None
    query: QueryVector | None = None


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
                legs = await self._run(text, query.mode, num_candidates, filters, context)
        except TimeoutError as exc:
            if not timer.expired():
                raise
            raise DeadlineExceeded("the request's time was over at: search", "search") from exc
        is_lexical_only = legs.dense is None and query.mode is not SearchMode.LEXICAL
        return SearchResult(
            passages=tuple(self._ranked(legs, query)[: query.k]),
            flags=(LEXICAL_ONLY,) if is_lexical_only else (),
            took_s=time.perf_counter() - start_s,
            embedding_id=legs.query.space.embedding_id if legs.query else None,
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
        self, text: str, mode: SearchMode, k: int, filters: Filters, context: RequestContext
    ) -> _Legs:
        legs = _Legs()
        if mode is SearchMode.LEXICAL:
            legs.lexical = await self._store.search_lexical(context.tenant, text, k, filters)
            return legs
        if mode is SearchMode.DENSE:
            legs.query = await self._embed_or_raise(text, context)
            legs.dense = await self._dense(legs.query, k, filters, context)
            return legs
        lexical = asyncio.create_task(self._store.search_lexical(context.tenant, text, k, filters))
        try:
            legs.query = await self._embed(text, context)
            if legs.query is not None:
                legs.dense = await self._dense(legs.query, k, filters, context)
            legs.lexical = await lexical
        finally:
            lexical.cancel()
            await asyncio.gather(lexical, return_exceptions=True)
        return legs

    async def _dense(
        self, query: QueryVector, k: int, filters: Filters, context: RequestContext
    ) -> list[Hit]:
        return await self._store.search_dense(
            context.tenant, query.space.embedding_id, query.vector, k, filters
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

    def _ranked(self, legs: _Legs, query: SearchQuery) -> list[Passage]:
        lexical, dense = legs.lexical or [], legs.dense or []
        bm25 = {hit.chunk.id: hit.score for hit in lexical}
        cosine = {hit.chunk.id: _cosine(hit.chunk, legs.query) for hit in lexical}
        cosine |= {hit.chunk.id: hit.score for hit in dense}
        chunks = {hit.chunk.id: hit.chunk for hit in (*lexical, *dense)}
        if query.mode is SearchMode.HYBRID:
            scores = reciprocal_rank_fusion([_ids(lexical), _ids(dense)], self._config.rrf_k)
        else:
            scores = [(hit.chunk.id, hit.score) for hit in (*lexical, *dense)]
        return [_passage(chunks[one], score, cosine.get(one), bm25.get(one)) for one, score in scores]


def _ids(hits: Sequence[Hit]) -> list[str]:
    return [hit.chunk.id for hit in hits]


def _cosine(chunk: Chunk, query: QueryVector | None) -> float | None:
    """None where there is nothing to compare: no query vector, or one of another model."""
    if (
        query is None
        or chunk.embedding_id != query.space.embedding_id
        or chunk.vector.shape != query.vector.shape
    ):
        return None
    return float(chunk.vector @ query.vector)


def _passage(chunk: Chunk, score: float, cosine: float | None, bm25: float | None) -> Passage:
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
        score=score,
        cosine=cosine,
        bm25=bm25,
    )
