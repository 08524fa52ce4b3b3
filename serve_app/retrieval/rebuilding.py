"""A base made anew as it is configured now, while it answers: other vectors, another index.

Another embedding model: every document is embedded again from the chunks that are stored, some hundred at a
time, and its record says so when its chunks are written; searches go on, by words alone for what is not
done yet. Another chunker or loader: only the sources have the texts, so those documents are counted, and the
next sync of their sources brings them. At last the index is made anew and swapped, which also drops what
models of before left in it.

It may be killed anywhere: what was written counts, and whoever rebuilds next goes on from there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace

from serve_app.errors import EngineFailed, Unavailable
from serve_app.messages import RebuildReport, RequestContext
from serve_app.retrieval import identity
from serve_app.retrieval.base import Chunk, OneOf, Store
from serve_app.retrieval.documents.chunking import embedded_text
from serve_app.retrieval.embedding import CheckedEmbedder, VectorSpace
from serve_app.retrieval.manifest import Manifest, Recipe, Record
from serve_app.retrieval.writer import Writer

_NUM_RECORDS = 500  # of the manifest, looked at at once
_NUM_CHUNKS = 500  # embedded for one change
_PAGE = 1000  # chunks in one answer of the store
_RESERVE_S = 2.0  # of the request's time, in which its answer leaves


class Rebuilding:
    """Makes a tenant's base anew."""

    def __init__(self, store: Store, manifest: Manifest, embedder: CheckedEmbedder, writer: Writer) -> None:
        self._store = store
        self._manifest = manifest
        self._embedder = embedder
        self._writer = writer

    async def run(self, recipe: Recipe, context: RequestContext, *, reindexes: bool) -> RebuildReport:
        """Embed again until all is done or the request's time is over; then, with `reindexes`, a new index.

        Raises:
            Unavailable, StorageFull, Overloaded: it broke off; what was done counts.
        """
        num_done = num_left = num_wanted = 0
        after = ""
        while records := await self._manifest.page(context.tenant, None, after, _NUM_RECORDS):
            after = records[-1].info.id
            old = [one for one in records if one.recipe != recipe]
            ours = [one for one in old if _only_vectors_differ(one, recipe)]
            num_wanted += len(old) - len(ours)
            for batch in _batches(ours):
                if context.deadline.remaining_s() <= _RESERVE_S:
                    num_left += len(batch)
                else:
                    num_done += await self._embed_again(batch, recipe, context)
        if num_left or not reindexes:
            return RebuildReport(num_done, num_left, num_wanted, is_reindexed=False)
        await self._writer.reindex(context.deadline)
        return RebuildReport(num_done, 0, num_wanted, is_reindexed=True)

    async def _embed_again(self, records: Sequence[Record], recipe: Recipe, context: RequestContext) -> int:
        """One change: the documents' chunks with vectors of the model that there is now."""
        space = VectorSpace(recipe.embedding_id, recipe.dim)
        async with self._writer.turn(context.tenant, context.deadline):
            # Somebody may have changed them while this one waited for its turn.
            now = await self._manifest.records(context.tenant, [one.info.id for one in records])
            current = [now[one.info.id] for one in records if now.get(one.info.id) == one]
            chunks = await self._chunks(context.tenant, [one.info.id for one in current])
            texts = await asyncio.to_thread(_texts, chunks)
            embedded = await self._embedder.passages(texts, space, context)
            if embedded.faults:
                text_hash, fault = next(iter(embedded.faults.items()))
                path = next(chunk.path for chunk in chunks if chunk.chunk_hash == text_hash)
                raise EngineFailed(f"{path}: a passage cannot be embedded again: {fault}")
            anew = [
                replace(chunk, vector=embedded.vectors[chunk.chunk_hash], embedding_id=space.embedding_id)
                for chunk in chunks
            ]
            await self._writer.replace(
                context.tenant, anew, (), [replace(one, recipe=recipe) for one in current]
            )
        return len(current)

    async def _chunks(self, tenant: str, document_ids: Sequence[str]) -> list[Chunk]:
        if not document_ids:
            return []
        found: list[Chunk] = []
        wanted = {"document_id": OneOf(tuple(document_ids))}
        while page := await self._store.page(tenant, found[-1].id if found else "", _PAGE, wanted):
            found += page
            if len(page) < _PAGE:
                break
        return found


def _texts(chunks: Sequence[Chunk]) -> dict[str, str]:
    """chunk hash -> what is embedded of it.

    Raises:
        Unavailable: a stored chunk is not what its hash says.
    """
    texts = {chunk.chunk_hash: embedded_text(chunk.title, chunk) for chunk in chunks}
    for chunk in chunks:
        if identity.chunk_hash(texts[chunk.chunk_hash]) != chunk.chunk_hash:
            raise Unavailable(
                f"{chunk.path}: a stored passage differs from what was embedded; sync its source"
            )
    return texts


def _only_vectors_differ(record: Record, recipe: Recipe) -> bool:
    """Whether the chunks that are stored are those that the document would be cut into now."""
    made = record.recipe
    return made is not None and replace(made, embedding_id=recipe.embedding_id, dim=recipe.dim) == recipe


def _batches(records: Sequence[Record]) -> Iterator[list[Record]]:
    """Documents of some hundred chunks together; one that has more stands alone."""
    batch: list[Record] = []
    num_chunks = 0
    for record in records:
        if batch and num_chunks + record.info.num_chunks > _NUM_CHUNKS:
            yield batch
            batch, num_chunks = [], 0
        batch.append(record)
        num_chunks += record.info.num_chunks
    if batch:
        yield batch
