"""The index beside the chunks that holds what the knowledge base knows of itself: documents and leases.

Documents of it are read by id where it matters, which sees every write at once. Knows nothing of what
they mean: `manifest` and `leases` do.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from configs.schema import OpenSearchStoreConfig
from serve_app.retrieval.stores.opensearch.bulk import Action, BulkWriter
from serve_app.retrieval.stores.opensearch.client import Client
from serve_app.retrieval.stores.opensearch.faults import IndexGone, Refused

_PAGE = 1_000  # documents in one answer
_KEYWORD = {"type": "keyword"}
_MAPPINGS = {
    "dynamic": False,
    "properties": {
        "kind": _KEYWORD,
        "owner": _KEYWORD,
        "id": _KEYWORD,
        "source": _KEYWORD,
        "recipe": _KEYWORD,
        "num_chunks": {"type": "integer"},
        "record": {"type": "object", "enabled": False},
    },
}


@dataclass(frozen=True, slots=True)
class Version:
    """Which state of a document was read: a write that names it fails if there is another one by then."""

    seq_no: int
    primary_term: int


class Ledger:
    """Documents by id, and found by their fields. The index is made at the first write."""

    def __init__(self, client: Client, config: OpenSearchStoreConfig) -> None:
        self._client = client
        self._config = config
        self._index = f"{config.index}-manifest"
        self._writer = BulkWriter(client, config)

    async def get(self, document_id: str) -> tuple[dict[str, Any], Version] | None:
        """The document and its version; None if it is not there."""
        answer = await self._or_none("POST", "_mget", {"ids": [document_id]}, "a record")
        document = answer["docs"][0] if answer is not None else {}
        if not document.get("found"):
            return None
        return document["_source"], Version(document["_seq_no"], document["_primary_term"])

    async def get_many(self, document_ids: Sequence[str]) -> list[dict[str, Any]]:
        """Those that are there."""
        found: list[dict[str, Any]] = []
        for start in range(0, len(document_ids), _PAGE):
            ids = {"ids": list(document_ids[start : start + _PAGE])}
            answer = await self._or_none("POST", "_mget", ids, "the records")
            documents = answer["docs"] if answer is not None else []
            found += [one["_source"] for one in documents if one.get("found")]
        return found

    async def swap(self, document_id: str, document: Mapping[str, Any], expected: Version | None) -> bool:
        """Write a document if it is still as expected (None: not there); False if it is not."""
        if expected is None:
            params = {"op_type": "create"}
        else:
            params = {"if_seq_no": str(expected.seq_no), "if_primary_term": str(expected.primary_term)}
        await self._ensure()
        path = f"/{self._index}/_doc/{document_id}"
        try:
            await self._client.request("PUT", path, dict(document), params=params, what="a record")
        except Refused as exc:
            if exc.refused_status != 409:
                raise
            return False
        return True

    async def write(self, actions: Iterable[Action]) -> None:
        """Write many; all of them are found afterwards."""
        await self._ensure()
        await self._writer.write(self._index, actions, is_alias=False)
        await self.refresh()

    async def refresh(self) -> None:
        """Let searches find all that was written, also by a writer that died before it could do so."""
        try:
            await self._client.request("POST", f"/{self._index}/_refresh", what="the refresh")
        except IndexGone:
            return

    async def scan(
        self,
        clauses: Sequence[Mapping[str, Any]],
        fields: Sequence[str],
        after: str = "",
        limit: int | None = None,
    ) -> AsyncIterator[dict[str, Any]]:
        """Documents that all clauses hold of, by `id`, from the one after `after` on."""
        left = limit
        while left is None or left > 0:
            size = _PAGE if left is None else min(left, _PAGE)
            body = {
                "query": {"bool": {"filter": list(clauses)}},
                "size": size,
                "sort": [{"id": "asc"}],
                "search_after": [after],
                "_source": list(fields),
            }
            answer = await self._or_none("POST", "_search", body, "the records")
            hits = answer["hits"]["hits"] if answer is not None else []
            for hit in hits:
                yield hit["_source"]
            if len(hits) < size:
                return
            after = hits[-1]["sort"][0]
            left = None if left is None else left - len(hits)

    async def aggregate(
        self, clauses: Sequence[Mapping[str, Any]], aggregations: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """The aggregations' results; None if nothing was ever written."""
        body = {"query": {"bool": {"filter": list(clauses)}}, "size": 0, "aggs": aggregations}
        answer = await self._or_none("POST", "_search", body, "the summary")
        return None if answer is None else answer["aggregations"]

    async def close(self) -> None:
        await self._client.close()

    async def _or_none(self, method: str, endpoint: str, body: Mapping[str, Any], what: str) -> Any:
        """The answer; None if there is no index yet."""
        try:
            return await self._client.request(method, f"/{self._index}/{endpoint}", body, what=what)
        except IndexGone:
            return None

    async def _ensure(self) -> None:
        """Make the index if it is not there: never by the way of a write, which would guess its fields."""
        if await self._client.request("HEAD", f"/{self._index}", what="the manifest's index"):
            return
        settings = {"number_of_shards": 1, "number_of_replicas": self._config.num_copies}
        body = {"settings": {"index": settings}, "mappings": _MAPPINGS}
        try:
            await self._client.request("PUT", f"/{self._index}", body, what="the manifest's index")
        except Refused as exc:
            if exc.refused_type != "resource_already_exists_exception":
                raise
