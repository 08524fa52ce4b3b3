"""The stages that many workers run side by side: read, then parse, cut and embed. Nothing of Ray in here.

What one stage hands to the next is plain data of a few documents. Which vectors the base has already is asked
of whoever keeps it, by a function that is passed in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from configs.schema import KnowledgeConfig
from serve_app.errors import BadRequest
from serve_app.messages import DocumentInput, RequestContext, Vectors
from serve_app.retrieval.drafts import Draft, check_document, draft
from serve_app.retrieval.embedding import CheckedEmbedder, VectorSpace
from serve_app.retrieval.sources.base import ObjectUnreadable, Source, SourceObject

Known = Callable[[Collection[str]], Awaitable[Mapping[str, Vectors]]]

_NUM_CHUNKS = 512  # embedded together, while the next ones are parsed


@dataclass(frozen=True, slots=True)
class Wanted:
    """A document that the base asks for."""

    object: SourceObject
    known_version: str = ""  # what the base has of it, if its source can tell whether that is still so


@dataclass(frozen=True, slots=True)
class Failure:
    """A document that cannot be taken in, and why."""

    path: str
    location: str
    reason: str


@dataclass(slots=True)
class Read:
    """Documents as their source gave them."""

    documents: list[tuple[DocumentInput, str]] = field(default_factory=list)  # and where they are
    failures: list[Failure] = field(default_factory=list)
    num_unchanged: int = 0


@dataclass(slots=True)
class Made:
    """Documents that were cut and embedded, ready to be stored. Their bytes are left behind."""

    drafts: list[tuple[Draft, str]] = field(default_factory=list)  # and where they are
    vectors: dict[str, Vectors] = field(default_factory=dict)  # text hash -> (dim,), those that were made now
    faults: dict[str, str] = field(default_factory=dict)  # text hash -> why there is no vector
    failures: list[Failure] = field(default_factory=list)
    num_unchanged: int = 0


async def read(source: Source, wanted: Sequence[Wanted], max_bytes: int, metadata: Mapping[str, str]) -> Read:
    """The documents' bytes. One that cannot be read is a failure; a source that is gone is an error.

    Raises:
        SourceUnavailable: nothing of it can be read at the moment.
    """
    places = asyncio.Semaphore(source.max_concurrent_reads)
    result = Read()

    async def one(each: Wanted) -> DocumentInput | ObjectUnreadable | None:
        async with places:
            try:
                content = await source.read(each.object, max_bytes, each.known_version)
            except ObjectUnreadable as exc:
                return exc
        if content is None:
            return None
        described = {**content.metadata, **metadata}
        return DocumentInput(each.object.path, content.data, content.media_type, described, content.version)

    found = await asyncio.gather(*map(one, wanted))
    for each, content in zip(wanted, found, strict=True):
        if content is None:
            result.num_unchanged += 1
        elif isinstance(content, ObjectUnreadable):
            result.failures.append(Failure(each.object.path, each.object.location, str(content)))
        else:
            result.documents.append((content, each.object.location))
    return result


class Maker:
    """Parses, cuts and embeds the documents of one source.

    Args:
        source: its name.
        config: of the knowledge base.
        embedder: makes the vectors.
        space: of the base's vectors; an embedder of another one is refused.
        known: which vectors need not be made.
    """

    def __init__(
        self,
        source: str,
        config: KnowledgeConfig,
        embedder: CheckedEmbedder,
        space: VectorSpace,
        known: Known,
    ) -> None:
        self._source = source
        self._config = config
        self._embedder = embedder
        self._space = space
        self._known = known

    async def make(self, given: Read, context: RequestContext) -> Made:
        """What can be stored of these documents.

        Raises:
            Unavailable: the embedder is down, or of another model.
        """
        made = Made(failures=list(given.failures), num_unchanged=given.num_unchanged)
        embedding: asyncio.Task[None] | None = None
        try:
            for group in _groups([document for document, _ in given.documents]):
                locations = {document.path: location for document, location in given.documents}
                drafts = await self._drafts(group, locations, made, context)
                if embedding is not None:
                    await embedding  # one group is embedded while the next one is parsed
                embedding = asyncio.create_task(self._embed(drafts, made, context))
            if embedding is not None:
                await embedding
        finally:
            if embedding is not None and not embedding.done():
                embedding.cancel()
                await asyncio.gather(embedding, return_exceptions=True)
        return made

    async def _drafts(
        self,
        documents: Sequence[DocumentInput],
        locations: Mapping[str, str],
        made: Made,
        context: RequestContext,
    ) -> list[Draft]:
        async def one(document: DocumentInput) -> Draft | Failure:
            try:
                check_document(document, self._config.max_document_bytes)
                return await draft(document, self._source, self._config, self._embedder, context)
            except BadRequest as exc:
                return Failure(document.path, locations[document.path], exc.message)

        drafts: list[Draft] = []
        for result in await asyncio.gather(*map(one, documents)):
            if isinstance(result, Failure):
                made.failures.append(result)
            else:
                stripped = replace(result, document=replace(result.document, content=b""))
                made.drafts.append((stripped, locations[result.document.path]))
                drafts.append(result)
        return drafts

    async def _embed(self, drafts: Sequence[Draft], made: Made, context: RequestContext) -> None:
        texts = {piece.text_hash: piece.embedded_text for one in drafts for piece in one.pieces}
        texts = {key: text for key, text in texts.items() if key not in made.vectors}
        known = await self._known(list(texts)) if texts else {}
        new = {key: text for key, text in texts.items() if key not in known}
        embedded = await self._embedder.passages(new, self._space, context)
        made.vectors |= embedded.vectors
        made.faults |= embedded.faults


def _groups(documents: Sequence[DocumentInput]) -> Iterator[list[DocumentInput]]:
    """Documents of some hundred chunks together, as far as their sizes tell."""
    group: list[DocumentInput] = []
    num_chunks = 0
    for document in documents:
        group.append(document)
        num_chunks += 1 + len(document.content) // 1000
        if num_chunks >= _NUM_CHUNKS:
            yield group
            group, num_chunks = [], 0
    if group:
        yield group
