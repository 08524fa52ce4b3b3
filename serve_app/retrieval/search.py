"""Search of one tenant's base: a lexical and a dense leg, fused by rank.

Where the store fuses itself it is asked once, with the query's vector. Else the lexical leg runs while
the query is embedded, so the embedder's time costs nothing but what it exceeds the lexical search by.
Without an embedder there is the lexical leg, and a flag that says so. A reranker may order the best of it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from configs.schema import RetrievalConfig
from serve_app.engines.rerank.base import RerankClient
from serve_app.errors import BadRequest, DeadlineExceeded, MantaError, Unavailable
from serve_app.messages import Passage, RequestContext, SearchMode, SearchQuery, SearchResult
from serve_app.retrieval.base import Filters, Fused, Hit, HybridQuery, Store
from serve_app.retrieval.distinct import apart
from serve_app.retrieval.embedding import CheckedEmbedder, QueryVector
from serve_app.retrieval.filters import parse
from serve_app.retrieval.fusion import fuse
from serve_app.retrieval.neighbours import joined
from serve_app.retrieval.reranking import RERANK_SKIPPED, Ordered, Reranking

LEXICAL_ONLY = "lexical_only"

logger = logging.getLogger("manta.retrieval")


@dataclass(frozen=True, slots=True)
class _Found:
    """What a search found, best first, and with which model's vectors."""

    ranking: list[Fused]
    embedding_id: str | None  # None: the dense leg had no part in it


@dataclass(slots=True)
class _Times:
    """Milliseconds of a search's stages; stages that ran beside each other add up to more than the search."""

    stages_ms: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        began_s = time.perf_counter()
        try:
            yield
        finally:
            self.stages_ms[stage] = round((time.perf_counter() - began_s) * 1000, 3)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A search as its parts need it."""

    query: SearchQuery
    text: str
    num_distinct: int  # passages that the ranking must have, duplicates not counted
    num_wanted: int  # and with them
    num_candidates: int  # of each leg
    filters: Filters
    times: _Times = field(default_factory=_Times)

    @property
    def needs_legs(self) -> bool:
        """Whether only two legs fused here can answer: servers tell no ranks and know no weights."""
        return self.query.explain or self.query.lexical_weight != self.query.dense_weight


class Searcher:
    """Answers searches from a store."""

    def __init__(
        self,
        store: Store,
        embedder: CheckedEmbedder,
        config: RetrievalConfig,
        reranker: RerankClient | None = None,
    ) -> None:
        self._store = store
        self._embedder = embedder
        self._config = config
        self._reranking = Reranking(reranker, config.rerank)

    async def search(self, query: SearchQuery, context: RequestContext) -> SearchResult:
        start_s = time.perf_counter()
        asked = self._asked(query)
        context.deadline.check("search")
        try:
            async with asyncio.timeout(context.deadline.remaining_s()) as timer:
                found = await self._run(asked, context)
                distinct = apart(found.ranking, asked.num_distinct, self._config.duplicate_share)
                with asked.times.of("rerank"):
                    ordered = await self._reranking.order(query, distinct, context)
        except TimeoutError as exc:
            if not timer.expired():
                raise
            raise DeadlineExceeded("the request's time was over at: search", "search") from exc
        passages = [_passage(one, ordered.scores.get(one.chunk.id)) for one in ordered.ranking[: query.k]]
        return SearchResult(
            passages=tuple(joined(passages) if query.joins else passages),
            flags=_flags(query, found, ordered),
            took_s=time.perf_counter() - start_s,
            embedding_id=found.embedding_id,
            stages_ms=asked.times.stages_ms if query.explain else {},
        )

    def _asked(self, query: SearchQuery) -> _Asked:
        text, filters = self._checked(query), parse(query.filters)
        num_distinct = max(query.k, self._reranking.num_candidates(query))
        num_candidates = max(self._config.num_candidates, num_distinct)
        # Duplicates that are left out need others to take their places.
        has_spare = self._config.duplicate_share is not None
        num_wanted = min(2 * num_distinct, num_candidates) if has_spare else num_distinct
        return _Asked(query, text, num_distinct, num_wanted, num_candidates, filters)

    def _checked(self, query: SearchQuery) -> str:
        if not 1 <= query.k <= self._config.max_k:
            raise BadRequest(f"k must be from 1 to {self._config.max_k}, not {query.k}", "k")
        # JSON can spell half of a surrogate pair, which is no character: it cannot be searched for.
        text = query.text.encode(errors="replace").decode()
        if not text.strip():
            raise BadRequest("the query is empty", "query")
        weights = (query.lexical_weight, query.dense_weight)
        if not all(0.0 <= weight <= 100.0 for weight in weights) or not any(weights):
            raise BadRequest("weights are from 0 to 100, and one of them is above 0", "weights")
        if self._reranking.is_missing(query):
            raise BadRequest("rerank: no reranker is configured", "rerank")
        return text

    async def _run(self, asked: _Asked, context: RequestContext) -> _Found:
        mode = asked.query.mode
        if mode is SearchMode.LEXICAL:
            return _Found(_lexical(await self._lexical(asked, context)), None)
        if mode is SearchMode.DENSE:
            with asked.times.of("embed"):
                embedded = await self._embed_or_raise(asked.text, context)
            return _Found(_dense(await self._dense(embedded, asked, context)), embedded.space.embedding_id)
        if self._store.fuses and not asked.needs_legs:
            return await self._fused(asked, context)
        return await self._two_legs(asked, context)

    async def _fused(self, asked: _Asked, context: RequestContext) -> _Found:
        """The store's own fusion; the lexical leg alone if the query cannot be embedded."""
        embedded = await self._embed(asked, context)
        if embedded is None:
            return _Found(_single(await self._lexical(asked, context), self._config.rrf_k), None)
        query = self._hybrid(asked, embedded)
        ranking = await self._store.search_hybrid(
            context.tenant, query, asked.num_wanted, asked.filters, context.deadline
        )
        return _Found(ranking, embedding_id=query.embedding_id)

    async def _two_legs(self, asked: _Asked, context: RequestContext) -> _Found:
        """The lexical leg at once, the dense one as soon as there is a vector."""
        lexical = asyncio.create_task(self._lexical(asked, context, reads_vectors=True))
        try:
            embedded = await self._embed(asked, context)
            if embedded is None:
                return _Found(_single(await lexical, self._config.rrf_k), None)
            dense = await self._dense(embedded, asked, context)
            query = self._hybrid(asked, embedded)
            return _Found(fuse(await lexical, dense, query), embedding_id=query.embedding_id)
        finally:
            lexical.cancel()
            await asyncio.gather(lexical, return_exceptions=True)

    def _hybrid(self, asked: _Asked, embedded: QueryVector) -> HybridQuery:
        return HybridQuery(
            text=asked.text,
            embedding_id=embedded.space.embedding_id,
            vector=embedded.vector,
            num_candidates=asked.num_candidates,
            rank_constant=self._config.rrf_k,
            lexical_weight=asked.query.lexical_weight,
            dense_weight=asked.query.dense_weight,
        )

    async def _lexical(
        self, asked: _Asked, context: RequestContext, *, reads_vectors: bool = False
    ) -> list[Hit]:
        with asked.times.of("lexical"):
            return await self._store.search_lexical(
                context.tenant,
                asked.text,
                asked.num_candidates,
                asked.filters,
                context.deadline,
                reads_vectors=reads_vectors,
            )

    async def _dense(self, query: QueryVector, asked: _Asked, context: RequestContext) -> list[Hit]:
        with asked.times.of("dense"):
            return await self._store.search_dense(
                context.tenant,
                query.space.embedding_id,
                query.vector,
                asked.num_candidates,
                asked.filters,
                context.deadline,
            )

    async def _embed(self, asked: _Asked, context: RequestContext) -> QueryVector | None:
        """The query's vector; None, with the reason in the log, if there is none to be had in time."""
        try:
            with asked.times.of("embed"):
                return await self._embed_or_raise(asked.text, context)
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
    return [
        Fused(hit.chunk, hit.score, cosine=None, bm25=hit.score, lexical_rank=rank)
        for rank, hit in enumerate(hits, start=1)
    ]


def _dense(hits: Sequence[Hit]) -> list[Fused]:
    return [
        Fused(hit.chunk, hit.score, cosine=hit.score, bm25=None, dense_rank=rank)
        for rank, hit in enumerate(hits, start=1)
    ]


def _single(lexical: Sequence[Hit], rank_constant: int) -> list[Fused]:
    """A fusion of one leg: its order, with scores on the fusion's scale."""
    return [
        Fused(hit.chunk, 1.0 / (rank_constant + rank), cosine=None, bm25=hit.score, lexical_rank=rank)
        for rank, hit in enumerate(lexical, start=1)
    ]


def _flags(query: SearchQuery, found: _Found, ordered: Ordered) -> tuple[str, ...]:
    """What is missing from the search."""
    is_lexical_only = found.embedding_id is None and query.mode is not SearchMode.LEXICAL
    flags = {LEXICAL_ONLY: is_lexical_only, RERANK_SKIPPED: ordered.is_skipped}
    return tuple(flag for flag, is_set in flags.items() if is_set)


def _passage(found: Fused, rerank: float | None) -> Passage:
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
        start=chunk.start,
        end=chunk.end,
        score=found.score,
        cosine=found.cosine,
        bm25=found.bm25,
        lexical_rank=found.lexical_rank,
        dense_rank=found.dense_rank,
        rerank=rerank,
    )
