"""A new index of the old one's chunks, made as the configuration wants it now, and put in its place.

The old index takes no writes meanwhile, whichever replica they come from, so that none can be lost, and
answers until the switch. A replica that is killed in between leaves it so: the next writer finds out that
nobody holds the lease any more, and makes it writable again (`serve_app.retrieval.writer`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from serve_app.errors import Unavailable
from serve_app.retrieval.base import Chunk
from serve_app.retrieval.stores.opensearch import documents, mapping
from serve_app.retrieval.stores.opensearch.bulk import Action, BulkWriter
from serve_app.retrieval.stores.opensearch.client import Client
from serve_app.retrieval.stores.opensearch.generations import Generation, Generations

_NUM_READ = 200  # chunks in one answer


async def rebuild(
    client: Client, generations: Generations, writer: BulkWriter, put: Callable[[Chunk], Action]
) -> None:
    """Copy and switch; if anything fails the old index goes on, and takes writes again.

    Args:
        client: of the server.
        generations: of the alias.
        writer: of the new index.
        put: the write of a chunk.
    """
    old = await generations.ensure()
    for leftover in await generations.others(old.index):
        await generations.drop(leftover)
    new = await generations.make(await generations.next_number(), is_live=False)
    await generations.set_read_only(old.index, is_read_only=True)
    try:
        await _copy(client, generations, writer, put, old.index, new)
        await _check(client, old.index, new)
        await _check_frozen(generations)
        await generations.switch(old.index, new)
    except BaseException:
        await generations.set_read_only(old.index, is_read_only=False)
        await generations.drop(new)
        raise


async def _copy(
    client: Client,
    generations: Generations,
    writer: BulkWriter,
    put: Callable[[Chunk], Action],
    old: str,
    new: str,
) -> None:
    """All chunks of all tenants; fields of models that no chunk has any more stay behind."""
    models: dict[str, str] = {}  # vector field -> embedding_id
    async for chunks in _everything(client, old):
        for space in sorted({(chunk.embedding_id, chunk.vector.shape[0]) for chunk in chunks}):
            field = mapping.vector_field(*space)
            if field not in models:
                await generations.add_model(Generation(new, "", models), *space)
                models[field] = space[0]
        await writer.write(new, map(put, chunks), is_alias=False)
    await client.request("POST", f"/{new}/_refresh", what="the refresh")


async def _everything(client: Client, index: str) -> AsyncIterator[list[Chunk]]:
    order = [{"id": "asc"}, {"owner": "asc"}]
    body: dict[str, Any] = {"size": _NUM_READ, "sort": order, "_source": documents.WHOLE}
    while True:
        answer = await client.request("POST", f"/{index}/_search", body, what="the old index")
        hits = answer["hits"]["hits"]
        if not hits:
            return
        yield [documents.chunk_of(hit["_source"]) for hit in hits]
        body = {**body, "search_after": hits[-1]["sort"]}


async def _check(client: Client, old: str, new: str) -> None:
    num_old, num_new = await _num_documents(client, old), await _num_documents(client, new)
    if num_new != num_old:
        raise Unavailable(f"the new index has {num_new} of {num_old} chunks: the old one goes on")


async def _check_frozen(generations: Generations) -> None:
    """Whoever took this rebuild for dead may have written what the new index lacks."""
    if not (await generations.ensure()).is_frozen:
        raise Unavailable("the old index was made writable during the rebuild: it goes on; rebuild again")


async def _num_documents(client: Client, index: str) -> int:
    answer = await client.request("POST", f"/{index}/_count", what="the number of chunks")
    return int(answer["count"])
