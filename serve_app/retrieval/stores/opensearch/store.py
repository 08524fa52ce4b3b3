"""The store on an OpenSearch server: what it is asked, and what its answers mean.

Writes and searches go through the alias, so that a swapped index is used at once by every replica. What
an index can do (its vector fields) is remembered, and looked at again when an answer does not fit.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from configs.schema import OpenSearchStoreConfig
from serve_app.errors import DeadlineExceeded, Unavailable
from serve_app.messages import Deadline, Vectors
from serve_app.retrieval import fusion
from serve_app.retrieval.base import Chunk, Filters, Fused, Hit, HybridQuery, OneOf
from serve_app.retrieval.identity import digest
from serve_app.retrieval.stores import terms
from serve_app.retrieval.stores.opensearch import bulk, documents, mapping
from serve_app.retrieval.stores.opensearch.bulk import BulkWriter
from serve_app.retrieval.stores.opensearch.client import Client
from serve_app.retrieval.stores.opensearch.faults import IndexGone, Refused
from serve_app.retrieval.stores.opensearch.generations import Generation, Generations
from serve_app.retrieval.stores.opensearch.hybrid import ServerFusion
from serve_app.retrieval.stores.opensearch.rebuild import rebuild

logger = logging.getLogger("manta.retrieval")

_PAGE = 5_000  # ids in one answer
_MAX_HASHES = 1_000  # in one question


class OpenSearchStore:
    """A Store on a server, shared by all replicas that name the same index.

    Args:
        config: of the store.
        client: of the server; closed with the store.
    """

    def __init__(self, config: OpenSearchStoreConfig, client: Client) -> None:
        self._config = config
        self._client = client
        self._generations = Generations(self._client, config)
        self._writer = BulkWriter(self._client, config)
        self._fusion = ServerFusion(self._client, config)
        self._generation: Generation | None = None
        self._opening = asyncio.Lock()

    @property
    def fuses(self) -> bool:
        return self._fusion.is_wanted

    @property
    def is_frozen(self) -> bool:
        return self._generation is not None and self._generation.is_frozen

    async def generation(self) -> str:
        async with self._opening:
            self._generation = await self._generations.ensure()
            return self._generation.name

    async def upsert(self, chunks: Sequence[Chunk]) -> None:
        latest = list({(chunk.tenant, chunk.id): chunk for chunk in chunks}.values())
        if not latest:
            return
        await self._add_missing_models(latest)
        await self._write(self._put(chunk) for chunk in latest)

    async def delete(self, tenant: str, chunk_ids: Sequence[str]) -> None:
        if not chunk_ids or await self._current() is None:
            return
        routing = self._routing(tenant)
        ids = (documents.document_id(tenant, chunk_id) for chunk_id in dict.fromkeys(chunk_ids))
        await self._write(bulk.delete(one, routing) for one in ids)

    async def delete_source(self, tenant: str, source: str) -> None:
        if await self._current() is None:
            return
        clauses = documents.conditions(tenant, {"source": OneOf((source,))})
        answer = await self._client.request(
            "POST",
            self._path("_delete_by_query"),
            {"query": {"bool": {"filter": clauses}}},
            # What is written meanwhile is a newer version, which stays.
            params=self._params(tenant, refresh="true", conflicts="proceed"),
            what="a deletion",
            limit_s=self._config.write_timeout_s,
        )
        if answer.get("failures"):
            raise Unavailable(f"{len(answer['failures'])} chunks of the source could not be deleted")

    async def vectors(
        self, tenant: str, embedding_id: str, chunk_hashes: Sequence[str]
    ) -> dict[str, Vectors]:
        found: dict[str, Vectors] = {}
        for start in range(0, len(chunk_hashes), _MAX_HASHES):
            asked = {digest("hash", one): one for one in chunk_hashes[start : start + _MAX_HASHES]}
            clauses = [
                *documents.conditions(tenant, {}),
                {"term": {"model": digest("model", embedding_id)}},
                {"terms": {"hash": list(asked)}},
            ]
            body = {
                "query": {"bool": {"filter": clauses}},
                "size": len(asked),
                # One of the chunks that have the same text is enough.
                "collapse": {"field": "hash"},
                "_source": [mapping.PACKED],
            }
            for hit in await self._hits(tenant, body, None, "the known vectors"):
                found[asked[hit["fields"]["hash"][0]]] = documents.vector_of(hit["_source"])
        return found

    async def search_lexical(
        self,
        tenant: str,
        text: str,
        k: int,
        filters: Filters,
        deadline: Deadline | None = None,
        *,
        reads_vectors: bool = False,
    ) -> list[Hit]:
        query = documents.lexical_query(text, documents.conditions(tenant, filters))
        body = {"query": query, "size": k, "_source": documents.WHOLE if reads_vectors else documents.PASSAGE}
        hits = await self._hits(tenant, body, deadline, "the lexical search")
        return _ordered(Hit(documents.chunk_of(hit["_source"]), hit["_score"]) for hit in hits)

    async def search_dense(
        self,
        tenant: str,
        embedding_id: str,
        vector: Vectors,
        k: int,
        filters: Filters,
        deadline: Deadline | None = None,
    ) -> list[Hit]:
        field = await self._vector_field(embedding_id, vector)
        if field is None:
            return []  # nothing was embedded with this model yet
        clauses = documents.conditions(tenant, filters)
        query = documents.dense_query(field, vector, max(k, self._config.hnsw.ef_search), clauses)
        try:
            body = {"query": query, "size": k, "_source": documents.PASSAGE}
            hits = await self._hits(tenant, body, deadline, "the dense search")
        except Refused:
            if not await self._has_changed():
                raise
            return await self.search_dense(tenant, embedding_id, vector, k, filters, deadline)
        return _ordered(
            Hit(documents.chunk_of(hit["_source"]), documents.cosine(hit["_score"])) for hit in hits
        )

    async def search_hybrid(
        self, tenant: str, query: HybridQuery, k: int, filters: Filters, deadline: Deadline | None = None
    ) -> list[Fused]:
        field = await self._vector_field(query.embedding_id, query.vector)
        if field is None or not query.is_even or not await self._fusion.is_there(deadline):
            return await fusion.fuse_legs(self, tenant, query, k, filters, deadline)
        clauses = documents.conditions(tenant, filters)
        try:
            answer = await self._fusion.search(
                self._generations.alias, self._routing(tenant), query, field, k, clauses, deadline
            )
            is_known = await self._fits(answer.indices)
        except Refused:
            if not await self._has_changed():
                raise
            is_known = False
        if not is_known:
            return await self.search_hybrid(tenant, query, k, filters, deadline)
        return answer.ranking

    async def page(self, tenant: str, after: str, limit: int, filters: Filters) -> list[Chunk]:
        body = {
            "query": {"bool": {"filter": documents.conditions(tenant, filters)}},
            "size": limit,
            "sort": [{"id": "asc"}],
            "search_after": [after],
            "_source": documents.WHOLE,
        }
        hits = await self._hits(tenant, body, None, "a page")
        return [documents.chunk_of(hit["_source"]) for hit in hits]

    async def chunk_ids(self, tenant: str) -> set[str]:
        if await self._current() is not None or await self._look_again() is not None:
            # Also what a writer wrote that died before it could let it be found.
            await self._client.request("POST", self._path("_refresh"), what="the refresh")
        found: set[str] = set()
        body = {
            "query": {"bool": {"filter": documents.conditions(tenant, {})}},
            "size": _PAGE,
            "sort": [{"id": "asc"}],
            **documents.NOTHING_KEPT,
        }
        after: dict[str, Any] = {}
        while hits := await self._hits(tenant, body | after, None, "the chunks' ids"):
            found.update(hit["sort"][0] for hit in hits)
            if len(hits) < _PAGE:
                break
            after = {"search_after": hits[-1]["sort"]}
        return found

    async def count(self, tenant: str) -> int:
        if await self._current() is None:
            return 0
        body = {"query": {"bool": {"filter": documents.conditions(tenant, {})}}}
        answer = await self._client.request(
            "POST", self._path("_count"), body, params=self._params(tenant), what="the number of chunks"
        )
        return int(answer["count"])

    async def optimize(self) -> None:
        if await self._current() is None:
            return
        await self._client.request(
            "POST",
            self._path("_forcemerge"),
            params={"max_num_segments": "1"},
            what="the merge",
            limit_s=self._config.write_timeout_s,
        )

    async def thaw(self) -> None:
        generation = await self._generations.ensure()
        logger.warning("the index %s was left read-only by a rebuild: it is writable again", generation.index)
        await self._generations.set_read_only(generation.index, is_read_only=False)
        for leftover in await self._generations.others(generation.index):
            await self._generations.drop(leftover)
        await self.generation()

    async def rebuild(self) -> None:
        await rebuild(self._client, self._generations, self._writer, self._put)
        await self.generation()

    async def close(self) -> None:
        await self._client.close()

    # ------------------------------------------------------------ the index

    async def _current(self) -> Generation | None:
        """The index that answers; None if there never was one. Looked at once, then remembered."""
        async with self._opening:
            if self._generation is None:
                self._generation = await self._generations.find()
            return self._generation

    async def _look_again(self) -> Generation | None:
        async with self._opening:
            found = await self._generations.find()
            if found is None and self._generation is not None:
                raise IndexGone("the knowledge base's index is gone; it is made anew at the next write")
            self._generation = found
            return found

    async def _vector_field(self, embedding_id: str, vector: Vectors) -> str | None:
        name = mapping.vector_field(embedding_id, vector.shape[0])
        generation = await self._current()
        if generation is None or name not in generation.fields:
            generation = await self._look_again()  # another replica may have been the first to use it
        return name if generation is not None and name in generation.fields else None

    async def _add_missing_models(self, chunks: Sequence[Chunk]) -> None:
        spaces = {(chunk.embedding_id, chunk.vector.shape[0]) for chunk in chunks}
        async with self._opening:
            generation = self._generation or await self._generations.ensure()
            for embedding_id, dim in sorted(spaces):
                if mapping.vector_field(embedding_id, dim) not in generation.fields:
                    generation = await self._generations.ensure()
                    await self._generations.add_model(generation, embedding_id, dim)
                    generation = await self._generations.ensure()
            self._generation = generation

    async def _fits(self, indices: set[str]) -> bool:
        """Whether an answer came from the one index that is known; if not, what there is now is known."""
        generation = await self._current()
        if generation is not None and indices <= {generation.index}:
            return True
        await self._look_again()  # raises if the alias points at two
        return False

    async def _has_changed(self) -> bool:
        """Whether there is another index than the one that was asked; a field may be missing in it."""
        before = self._generation
        return await self._look_again() != before

    # ------------------------------------------------------------ requests

    def _put(self, chunk: Chunk) -> bulk.Action:
        return bulk.put(
            documents.document_id(chunk.tenant, chunk.id),
            documents.document(chunk),
            self._routing(chunk.tenant),
        )

    async def _write(self, actions: Iterator[bulk.Action]) -> None:
        try:
            await self._writer.write(self._generations.alias, actions)
            await self._client.request("POST", self._path("_refresh"), what="the refresh")
        except IndexGone:
            self._generation = None
            raise

    async def _hits(
        self, tenant: str, body: Mapping[str, Any], deadline: Deadline | None, what: str
    ) -> list[dict[str, Any]]:
        """The hits of a search of one tenant; none if there never was an index."""
        if await self._current() is None and await self._look_again() is None:
            return []
        answer = await self._search(tenant, body, deadline, what)
        hits: list[dict[str, Any]] = answer["hits"]["hits"]
        if not await self._fits({hit["_index"] for hit in hits}):
            hits = (await self._search(tenant, body, deadline, what))["hits"]["hits"]
        return hits

    async def _search(
        self, tenant: str, body: Mapping[str, Any], deadline: Deadline | None, what: str
    ) -> dict[str, Any]:
        limited = {**body, "track_total_hits": False}
        if deadline is not None:
            limited["timeout"] = f"{max(1, int(deadline.within(self._config.request_timeout_s) * 1000))}ms"
        answer: dict[str, Any] = await self._client.request(
            "POST",
            self._path("_search"),
            limited,
            # A part of the shards is no answer.
            params=self._params(tenant, allow_partial_search_results="false"),
            what=what,
            deadline=deadline,
        )
        if answer["timed_out"]:
            raise DeadlineExceeded(f"the request's time was over at: {what}", what)
        return answer

    def _path(self, endpoint: str) -> str:
        return f"/{self._generations.alias}/{endpoint}"

    def _params(self, tenant: str, **params: str) -> dict[str, str]:
        routing = self._routing(tenant)
        return params if routing is None else {**params, "routing": routing}

    def _routing(self, tenant: str) -> str | None:
        return terms.owner(tenant) if self._config.route_by_tenant else None


def _ordered(hits: Iterator[Hit]) -> list[Hit]:
    """Best first; equal scores by id, so that the order never depends on chance."""
    return sorted(hits, key=lambda hit: (-hit.score, hit.chunk.id))
