"""The manifest on the server, beside the chunks: several replicas share it.

A commit is a bulk request, no transaction: one that breaks off leaves some documents written. That is
what the lease is for: it then says that nothing is known of the base, and the next writer repairs it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from serve_app.messages import DocumentInfo
from serve_app.retrieval.identity import digest
from serve_app.retrieval.manifest import Recipe, Record, Summary, embedding_ids
from serve_app.retrieval.stores import terms
from serve_app.retrieval.stores.opensearch import bulk
from serve_app.retrieval.stores.opensearch.ledger import Ledger

_GROUPS = 1_000  # in one answer of the summary
_INFO = tuple(field.name for field in fields(DocumentInfo))


class OpenSearchManifest:
    """A Manifest in an index."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def records(self, tenant: str, document_ids: Sequence[str]) -> dict[str, Record]:
        found = await self._ledger.get_many([_key(tenant, one) for one in dict.fromkeys(document_ids)])
        return {record.info.id: record for record in map(_record, found)}

    async def source(self, tenant: str, source: str) -> list[Record]:
        clauses = [*_documents(tenant), {"term": {"source": source}}]
        return [_record(one) async for one in self._ledger.scan(clauses, ["record", "recipe"])]

    async def page(self, tenant: str, source: str | None, after: str, limit: int) -> list[Record]:
        own = [] if source is None else [{"term": {"source": source}}]
        found = self._ledger.scan([*_documents(tenant), *own], ["record", "recipe"], after, limit)
        return [_record(one) async for one in found]

    async def chunk_ids(self, tenant: str) -> dict[str, tuple[str, ...]]:
        # What is not found here is deleted from the store: nothing may be missing that was written.
        await self._ledger.refresh()
        found = self._ledger.scan(_documents(tenant), ["record.info.id", "record.chunk_ids"])
        return {one["record"]["info"]["id"]: tuple(one["record"]["chunk_ids"]) async for one in found}

    async def summary(self, tenant: str) -> Summary:
        groups = await self._groups(tenant)
        sources: dict[str, int] = {}
        for group in groups:
            name = group["key"]["source"]
            sources[name] = sources.get(name, 0) + group["doc_count"]
        recipes: dict[str, dict[Recipe | None, int]] = {}
        for group in groups:
            made = Recipe.decoded(group["key"]["recipe"]) if group["key"]["recipe"] else None
            recipes.setdefault(group["key"]["source"], {})[made] = group["doc_count"]
        return Summary(
            num_documents=sum(sources.values()),
            num_chunks=sum(int(group["num_chunks"]["value"]) for group in groups),
            sources=dict(sorted(sources.items())),
            generation=await self._generation(tenant),
            embedding_ids=embedding_ids(recipes),
            recipes=recipes,
        )

    async def commit(self, tenant: str, put: Sequence[Record] = (), removed: Sequence[str] = ()) -> None:
        actions = [bulk.put(_key(tenant, one.info.id), _document(tenant, one), None) for one in put]
        actions += [bulk.delete(_key(tenant, one), None) for one in removed]
        # The lease's holder is alone, so that counting needs no transaction.
        counted = {"kind": "tenant", "owner": terms.owner(tenant), "num": await self._generation(tenant) + 1}
        actions.append(bulk.put(_tenant_key(tenant), counted, None))
        await self._ledger.write(actions)

    async def source_states(self, tenant: str) -> dict[str, str]:
        clauses = [{"term": {"kind": "source"}}, {"term": {"owner": terms.owner(tenant)}}]
        found = self._ledger.scan(clauses, ["source", "state"])
        return {one["source"]: one["state"] async for one in found}

    async def put_source_state(self, tenant: str, source: str, state: str) -> None:
        key = digest("source", tenant, source)
        kept = {"kind": "source", "owner": terms.owner(tenant), "id": key, "source": source, "state": state}
        await self._ledger.write([bulk.put(key, kept, None)])

    async def mark_incomplete(self, tenant: str, document_ids: Sequence[str]) -> None:
        found = await self._ledger.get_many([_key(tenant, one) for one in document_ids])
        marked = [one | {"recipe": ""} for one in found]
        await self._ledger.write(bulk.put(_key(tenant, one["id"]), one, None) for one in marked)

    async def close(self) -> None:
        await self._ledger.close()

    async def _generation(self, tenant: str) -> int:
        found = await self._ledger.get(_tenant_key(tenant))
        return int(found[0]["num"]) if found is not None else 0

    async def _groups(self, tenant: str) -> list[dict[str, Any]]:
        """Documents by source and recipe: counts, and how many chunks."""
        found: list[dict[str, Any]] = []
        composite: dict[str, Any] = {
            "size": _GROUPS,
            "sources": [{name: {"terms": {"field": name}}} for name in ("source", "recipe")],
        }
        while True:
            asked = {"composite": composite, "aggs": {"num_chunks": {"sum": {"field": "num_chunks"}}}}
            answer = await self._ledger.aggregate(_documents(tenant), {"groups": asked})
            if answer is None:
                return found
            found += answer["groups"]["buckets"]
            if "after_key" not in answer["groups"]:
                return found
            composite = composite | {"after": answer["groups"]["after_key"]}


def _key(tenant: str, document_id: str) -> str:
    return digest("record", tenant, document_id)


def _tenant_key(tenant: str) -> str:
    return digest("generation", tenant)


def _documents(tenant: str) -> list[dict[str, Any]]:
    return [{"term": {"kind": "document"}}, {"term": {"owner": terms.owner(tenant)}}]


def _document(tenant: str, record: Record) -> dict[str, Any]:
    info = {name: getattr(record.info, name) for name in _INFO}
    return {
        "kind": "document",
        "owner": terms.owner(tenant),
        "id": record.info.id,
        "source": record.info.source,
        "recipe": record.recipe.encoded() if record.recipe else "",
        "num_chunks": record.info.num_chunks,
        "record": {
            # Pairs, because a key may be any text, and the server reads dots in names as paths.
            "info": info | {"metadata": [list(pair) for pair in record.info.metadata.items()]},
            "declared_media_type": record.declared_media_type,
            "chunk_ids": list(record.chunk_ids),
        },
    }


def _record(document: Mapping[str, Any]) -> Record:
    kept = document["record"]
    info = dict(kept["info"])
    info["metadata"] = dict(info["metadata"])
    recipe = document["recipe"]
    return Record(
        info=DocumentInfo(**info),
        declared_media_type=kept["declared_media_type"],
        recipe=Recipe.decoded(recipe) if recipe else None,
        chunk_ids=tuple(kept["chunk_ids"]),
    )
