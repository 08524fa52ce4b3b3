"""Brings a base in line with documents: embeds what is new, and nothing else.

Decides what has to be made, makes it in commits of many documents, and leaves the order of writing,
and what happens when it breaks, to the writer.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from configs.schema import KnowledgeConfig
from serve_app.errors import BadRequest, Unavailable
from serve_app.messages import (
    DocumentInfo,
    DocumentInput,
    DocumentOutcome,
    DocumentStatus,
    RequestContext,
    SyncPlan,
    Vectors,
)
from serve_app.retrieval import identity
from serve_app.retrieval.base import Chunk, Store
from serve_app.retrieval.documents.chunking import CHUNKER_VERSION
from serve_app.retrieval.documents.load import LOADER_VERSION
from serve_app.retrieval.drafts import Draft, check_document, check_name, draft, sha256_of
from serve_app.retrieval.embedding import CheckedEmbedder, PassageVectors, VectorSpace
from serve_app.retrieval.manifest import Manifest, Recipe, Record
from serve_app.retrieval.sources.base import MODIFIED_AT
from serve_app.retrieval.writer import Writer

_NUM_READ_AT_ONCE = 8  # documents being read and cut; reading is threads, counting tokens the embedder's
_CHUNKS_PER_COMMIT = 1000  # a crash loses the work of one commit; each leaves a version in the store


@dataclass(frozen=True, slots=True)
class _Entry:
    """A draft, and what the manifest had of the document."""

    draft: Draft
    before: Record | None


class Synchroniser:
    """Plans and makes the changes of a knowledge base."""

    def __init__(
        self,
        store: Store,
        manifest: Manifest,
        embedder: CheckedEmbedder,
        config: KnowledgeConfig,
        now: Callable[[], datetime],
        writer: Writer | None = None,
    ) -> None:
        self._store = store
        self._manifest = manifest
        self._embedder = embedder
        self._config = config
        self._now = now
        self._writer = writer or Writer(store, manifest)

    async def plan(self, source: str, states: Mapping[str, str], context: RequestContext) -> SyncPlan:
        check_name(source, "source")
        recipe = await self.recipe(context)
        await self._writer.repaired(context.tenant, context.deadline)
        records = {record.info.path: record for record in await self._manifest.source(context.tenant, source)}
        current = {path: record.info for path, record in records.items() if record.recipe == recipe}
        upload = tuple(
            path
            for path, state in states.items()
            if path not in current or state not in (current[path].sha256, current[path].version) or not state
        )
        known = {path: info.version for path in upload if (info := current.get(path)) and info.version}
        gone = tuple(record.info.id for path, record in records.items() if path not in states)
        return SyncPlan(
            upload,
            len(states) - len(upload),
            gone,
            num_known=len(records),
            num_new=sum(path not in records for path in upload),
            known=known,
        )

    async def put(
        self, source: str, documents: Sequence[DocumentInput], context: RequestContext
    ) -> tuple[DocumentOutcome, ...]:
        check_name(source, "source")
        async with self._writer.turn(context.tenant, context.deadline):
            recipe = await self.recipe(context)
            outcomes: dict[int, DocumentOutcome] = {}  # position in `documents` -> outcome
            changed = await self._changed(source, documents, recipe, context, outcomes)
            drafts: dict[int, _Entry] = {}
            for batch in _batches(list(changed), _NUM_READ_AT_ONCE):
                context.deadline.check("reading documents")
                results = await self._read([documents[position] for position in batch], source, context)
                for position, result in zip(batch, results, strict=True):
                    if isinstance(result, Draft):
                        drafts[position] = _Entry(result, changed[position])
                    else:
                        outcomes[position] = result
                if sum(len(entry.draft.pieces) for entry in drafts.values()) >= _CHUNKS_PER_COMMIT:
                    outcomes |= await self._embed_and_store(source, drafts, recipe, context)
                    drafts = {}
            outcomes |= await self._embed_and_store(source, drafts, recipe, context)
        return tuple(outcomes[position] for position in range(len(documents)))

    async def delete(self, document_ids: Sequence[str], context: RequestContext) -> Counter[str]:
        """source -> documents of it that were removed."""
        async with self._writer.turn(context.tenant, context.deadline):
            records = await self._manifest.records(context.tenant, document_ids)
            if records:
                await self._writer.remove(context.tenant, records)
        return Counter(record.info.source for record in records.values())

    async def recipe(self, context: RequestContext) -> Recipe:
        """How documents are made into chunks and vectors now.

        Raises:
            as CheckedEmbedder.space.
        """
        chunking = self._config.chunking
        space = await self._embedder.space(chunking, context)
        return Recipe(
            loader_version=LOADER_VERSION,
            chunker_version=CHUNKER_VERSION,
            max_tokens=chunking.max_tokens,
            overlap_tokens=chunking.overlap_tokens,
            embedding_id=space.embedding_id,
            dim=space.dim,
        )

    async def _changed(
        self,
        source: str,
        documents: Sequence[DocumentInput],
        recipe: Recipe,
        context: RequestContext,
        outcomes: dict[int, DocumentOutcome],
    ) -> dict[int, Record | None]:
        """Positions of documents to be made, with the manifest's record; the outcomes of all others."""
        valid: dict[str, int] = {}  # document id -> position
        for position, document in enumerate(documents):
            try:
                check_document(document, self._config.max_document_bytes)
                document_id = identity.document_id(context.tenant, source, document.path)
                if document_id in valid:
                    raise BadRequest("the path is given twice in one call; the first one was taken", "path")  # noqa: TRY301
            except BadRequest as exc:
                outcomes[position] = _failed(document, exc.message)
            else:
                valid[document_id] = position
        records = await self._manifest.records(context.tenant, list(valid))
        changed: dict[int, Record | None] = {}
        renamed: list[Record] = []
        for document_id, position in valid.items():
            record, document = records.get(document_id), documents[position]
            if record is not None and await asyncio.to_thread(_is_same, document, record, recipe):
                outcomes[position] = _outcome(record, DocumentStatus.UNCHANGED, num_embedded=0)
                if record.info.version != document.version:
                    renamed.append(replace(record, info=replace(record.info, version=document.version)))
            else:
                changed[position] = record
        if renamed:  # the same bytes under another name of their state: nothing else is written
            await self._writer.replace(context.tenant, (), (), renamed)
        return changed

    async def _read(
        self, documents: Sequence[DocumentInput], source: str, context: RequestContext
    ) -> list[Draft | DocumentOutcome]:
        """Each document read and cut, or its failure."""

        async def read(document: DocumentInput) -> Draft | DocumentOutcome:
            try:
                return await draft(document, source, self._config, self._embedder, context)
            except BadRequest as exc:
                return _failed(document, exc.message)

        # All are waited for before the first fault is raised, so that none goes on without an owner.
        results = await asyncio.gather(*map(read, documents), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return [result for result in results if not isinstance(result, BaseException)]

    async def _embed_and_store(
        self, source: str, entries: Mapping[int, _Entry], recipe: Recipe, context: RequestContext
    ) -> dict[int, DocumentOutcome]:
        """Outcomes by position. Texts that are known, or stand in several places, are embedded once."""
        texts = {
            piece.text_hash: piece.embedded_text for entry in entries.values() for piece in entry.draft.pieces
        }
        vectors = await self.known_vectors(list(texts), recipe, context)
        new = {text_hash: text for text_hash, text in texts.items() if text_hash not in vectors}
        embedded = await self._embedder.passages(new, VectorSpace(recipe.embedding_id, recipe.dim), context)
        return await self._store_all(source, entries, vectors, embedded, recipe, context)

    async def known_vectors(
        self, text_hashes: Sequence[str], recipe: Recipe, context: RequestContext
    ) -> dict[str, Vectors]:
        """text hash -> vector of the recipe's model, of those that the tenant has."""
        found = await self._store.vectors(context.tenant, recipe.embedding_id, text_hashes)
        return {one: vector for one, vector in found.items() if vector.shape == (recipe.dim,)}

    async def put_drafts(
        self, source: str, drafts: Sequence[Draft], embedded: PassageVectors, context: RequestContext
    ) -> tuple[DocumentOutcome, ...]:
        """Store documents that somebody else has cut and embedded; what they did not embed must be known.

        Raises:
            Unavailable: the store is down, or a vector is missing or of another model.
        """
        check_name(source, "source")
        async with self._writer.turn(context.tenant, context.deadline):
            recipe = await self.recipe(context)
            records = await self._manifest.records(context.tenant, [one.document_id for one in drafts])
            entries = {at: _Entry(one, records.get(one.document_id)) for at, one in enumerate(drafts)}
            hashes = {piece.text_hash for one in drafts for piece in one.pieces}
            missing = hashes - embedded.vectors.keys() - embedded.faults.keys()
            known = await self.known_vectors(sorted(missing), recipe, context) if missing else {}
            wrong = any(vector.shape != (recipe.dim,) for vector in embedded.vectors.values())
            if wrong or missing - known.keys():
                raise Unavailable(
                    "the documents were embedded by another model, or not all of them; sync again"
                )
            outcomes = await self._store_all(source, entries, known, embedded, recipe, context)
        return tuple(outcomes[at] for at in range(len(drafts)))

    async def _store_all(
        self,
        source: str,
        entries: Mapping[int, _Entry],
        known: Mapping[str, Vectors],
        embedded: PassageVectors,
        recipe: Recipe,
        context: RequestContext,
    ) -> dict[int, DocumentOutcome]:
        """Outcomes by position; every text of the documents is known, embedded or at fault."""
        space = VectorSpace(recipe.embedding_id, recipe.dim)
        vectors = {**known, **embedded.vectors}
        outcomes: dict[int, DocumentOutcome] = {}
        chunks: list[Chunk] = []
        records: list[Record] = []
        stale: set[str] = set()
        unclaimed = set(embedded.vectors)  # a text that stands in several documents counts for the first
        for position, entry in entries.items():
            hashes = [piece.text_hash for piece in entry.draft.pieces]
            faults = [embedded.faults[one] for one in hashes if one in embedded.faults]
            if faults:
                outcomes[position] = _failed(entry.draft.document, f"it could not be embedded: {faults[0]}")
                continue
            record = self._record(source, entry.draft, recipe)
            chunks += _chunks(context.tenant, source, entry.draft, vectors, space)
            records.append(record)
            stale.update(set(entry.before.chunk_ids if entry.before else ()) - set(record.chunk_ids))
            status = DocumentStatus.CHANGED if entry.before else DocumentStatus.ADDED
            outcomes[position] = _outcome(record, status, num_embedded=len(unclaimed.intersection(hashes)))
            unclaimed.difference_update(hashes)
        if records:
            await self._writer.replace(context.tenant, chunks, sorted(stale), records)
        return outcomes

    def _record(self, source: str, made: Draft, recipe: Recipe) -> Record:
        document = made.document
        info = DocumentInfo(
            id=made.document_id,
            source=source,
            path=document.path,
            title=made.title,
            media_type=made.media_type,
            sha256=made.sha256,
            num_chunks=len(made.pieces),
            num_bytes=made.num_bytes,
            ingested_at=self._now().isoformat(timespec="seconds"),
            metadata=dict(document.metadata),
            version=document.version,
        )
        return Record(info, document.media_type, recipe, tuple(piece.id for piece in made.pieces))


def _batches(positions: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(positions), size):
        yield positions[start : start + size]


def _is_same(document: DocumentInput, record: Record, recipe: Recipe) -> bool:
    """Whether making the document again would give what is there. Blocks: it hashes the content."""
    return (
        record.recipe == recipe
        and record.declared_media_type == document.media_type
        and _described(record.info.metadata) == _described(document.metadata)
        and record.info.sha256 == sha256_of(document)
    )


def _described(metadata: Mapping[str, str]) -> dict[str, str]:
    """What makes a difference: the same bytes under a later date are still those of the earlier one."""
    return {key: value for key, value in metadata.items() if key != MODIFIED_AT}


def _chunks(
    tenant: str, source: str, made: Draft, vectors: Mapping[str, Vectors], space: VectorSpace
) -> list[Chunk]:
    return [
        Chunk(
            id=piece.id,
            tenant=tenant,
            document_id=made.document_id,
            source=source,
            path=made.document.path,
            title=made.title,
            headings=piece.chunk.headings,
            text=piece.chunk.text,
            ordinal=piece.chunk.ordinal,
            page=piece.chunk.page,
            media_type=made.media_type,
            chunk_hash=piece.text_hash,
            vector=vectors[piece.text_hash],
            embedding_id=space.embedding_id,
            metadata={**made.dates, **made.document.metadata},
            start=piece.chunk.start,
            end=piece.chunk.end,
        )
        for piece in made.pieces
    ]


def _failed(document: DocumentInput, reason: str) -> DocumentOutcome:
    return DocumentOutcome(document.path, DocumentStatus.FAILED, reason=reason)


def _outcome(record: Record, status: DocumentStatus, *, num_embedded: int) -> DocumentOutcome:
    info = record.info
    return DocumentOutcome(info.path, status, info.id, info.num_chunks, num_embedded)
