"""Both legs and their fusion in one request: the server's reciprocal rank fusion (neural-search, from 2.19).

It ranks within each shard, so it is the client's fusion only where one shard answers. Its scores are of
the fusion alone; so the lexical leg's ids and scores come in the same request, which answers as exactly
as two legs would.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from configs.schema import OpenSearchStoreConfig
from serve_app.errors import ConfigError, DeadlineExceeded
from serve_app.messages import Deadline
from serve_app.retrieval.base import Fused, HybridQuery
from serve_app.retrieval.fusion import cosine
from serve_app.retrieval.stores.opensearch import documents
from serve_app.retrieval.stores.opensearch.client import Client
from serve_app.retrieval.stores.opensearch.faults import Refused, refusal

logger = logging.getLogger("manta.retrieval")

_WHAT = "the hybrid search"


@dataclass(frozen=True, slots=True)
class Answer:
    """A ranking, and the names of the indices that it came from."""

    ranking: list[Fused]
    indices: set[str]


class ServerFusion:
    """The server's fusion, where it is configured and there."""

    def __init__(self, client: Client, config: OpenSearchStoreConfig) -> None:
        self._client = client
        self._config = config
        self._is_there: bool | None = None  # None: not asked yet
        self._asking = asyncio.Lock()

    @property
    def is_wanted(self) -> bool:
        """Whether to ask the server, as far as is known."""
        one_shard = self._config.num_shards == 1 or self._config.route_by_tenant
        by_config = self._config.hybrid == "server" or (self._config.hybrid == "auto" and one_shard)
        return by_config and self._is_there is not False

    async def is_there(self, deadline: Deadline | None) -> bool:
        """Whether the server fuses; it is asked once.

        Raises:
            ConfigError: the configuration insists on what the server has not.
        """
        if not self.is_wanted:
            return False
        async with self._asking:
            if self._is_there is None:
                self._is_there = await self._has_processor(deadline)
        if not self._is_there and self._config.hybrid == "server":
            raise ConfigError("knowledge.store.hybrid is server, but the server has no neural-search 2.19+")
        return self._is_there

    async def search(
        self,
        alias: str,
        routing: str | None,
        query: HybridQuery,
        field: str,
        k: int,
        clauses: Sequence[Mapping[str, Any]],
        deadline: Deadline | None,
    ) -> Answer:
        """The ranking of both legs.

        Args:
            alias: of the index.
            routing: of the tenant, where there is one.
            query: of both legs.
            field: of the query's vectors.
            k: chunks wanted.
            clauses: the filter of both legs.
            deadline: of the request.
        """
        num = max(k, query.num_candidates)
        lexical = documents.lexical_query(query.text, clauses)
        dense = documents.dense_query(field, query.vector, max(num, self._config.hnsw.ef_search), clauses)
        limit = {} if deadline is None else {"timeout": _milliseconds(deadline, self._config)}
        hybrid = {
            "query": {"hybrid": {"pagination_depth": num, "queries": [lexical, dense]}},
            "size": k,
            "_source": documents.WHOLE,
            "search_pipeline": _pipeline(query.rank_constant),
            "track_total_hits": False,
        }
        leg = {
            "query": lexical,
            "size": num,
            "docvalue_fields": ["id"],
            "track_total_hits": False,
            **documents.NOTHING_KEPT,
        }
        head: dict[str, Any] = {"allow_partial_search_results": False}
        if routing is not None:
            head["routing"] = routing
        lines = [head, hybrid | limit, head, leg | limit]
        answer = await self._client.request(
            "POST",
            f"/{alias}/_msearch",
            b"".join(msgspec.json.encode(line) + b"\n" for line in lines),
            what=_WHAT,
            deadline=deadline,
        )
        fused, scored = (_hits(one) for one in answer["responses"])
        bm25 = {hit["fields"]["id"][0]: hit["_score"] for hit in scored}
        return Answer(
            [_fused(hit, query, bm25) for hit in fused],
            {hit["_index"] for hit in (*fused, *scored)},
        )

    async def _has_processor(self, deadline: Deadline | None) -> bool:
        """A pipeline in a search of nothing: it is refused where the processor is not known."""
        body = {"size": 0, "search_pipeline": _pipeline(60)}
        try:
            await self._client.request(
                "POST", f"/{self._config.index}/_search", body, what="the server's fusion", deadline=deadline
            )
        except Refused as exc:
            if exc.refused_status != 400:
                raise
            logger.info("the server has no score-ranker-processor: the legs are fused here")
            return False
        return True


def _pipeline(rank_constant: int) -> dict[str, Any]:
    """With the request, so that no state on the server can differ from the configuration."""
    combination = {"technique": "rrf", "rank_constant": rank_constant}
    return {"phase_results_processors": [{"score-ranker-processor": {"combination": combination}}]}


def _hits(response: Mapping[str, Any]) -> list[dict[str, Any]]:
    if "error" in response:
        raise refusal(int(response.get("status", 0)), response["error"], _WHAT)
    if response["timed_out"]:
        raise DeadlineExceeded(f"the request's time was over at: {_WHAT}", _WHAT)
    hits: list[dict[str, Any]] = response["hits"]["hits"]
    return hits


def _fused(hit: Mapping[str, Any], query: HybridQuery, bm25: Mapping[str, float]) -> Fused:
    chunk = documents.chunk_of(hit["_source"])
    own = cosine(chunk, query.embedding_id, query.vector)
    return Fused(chunk, hit["_score"], own, bm25.get(chunk.id))


def _milliseconds(deadline: Deadline, config: OpenSearchStoreConfig) -> str:
    return f"{max(1, int(deadline.within(config.request_timeout_s) * 1000))}ms"
