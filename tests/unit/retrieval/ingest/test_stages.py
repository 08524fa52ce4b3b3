"""The workers' stages, and the keeper that stores what they made: without a Ray."""

from __future__ import annotations

import pickle
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from configs.schema import ChunkingConfig, KnowledgeConfig, LanceDbStoreConfig, MockEmbedder
from serve_app.engines.embedding_edge import EmbeddingEdge
from serve_app.engines.mock import MockTextEmbedder
from serve_app.errors import BadRequest, EngineFailed, Unavailable
from serve_app.messages import Embeddings, RequestContext
from serve_app.retrieval.embedding import CheckedEmbedder, VectorSpace
from serve_app.retrieval.ingest import dead_letters
from serve_app.retrieval.ingest.dead_letters import DeadLetter, DeadLetterFile
from serve_app.retrieval.ingest.keeper import Keeper
from serve_app.retrieval.ingest.stages import Maker, Read, Wanted, read
from serve_app.retrieval.sources.base import Content, ObjectUnreadable, SourceObject, SourceUnavailable

SPACE = VectorSpace("mock-bag-of-words-16", 16)
CONFIG = KnowledgeConfig(
    store=LanceDbStoreConfig(kind="lancedb"), chunking=ChunkingConfig(max_tokens=32, overlap_tokens=0)
)


class Embedder(EmbeddingEdge):
    """The mock; counts texts, and fails on a word."""

    def __init__(self) -> None:
        super().__init__(MockTextEmbedder(MockEmbedder(engine="mock", name="mock", dim=16)))
        self.texts: list[str] = []
        self.poison = ""

    async def embed(self, texts: Any, context: RequestContext, **options: bool) -> Embeddings:  # type: ignore[override]
        if self.poison and any(self.poison in text for text in texts):
            raise EngineFailed(f"no vector for {self.poison}")
        self.texts += texts
        return await super().embed(texts, context, **options)


@dataclass
class Shelf:
    """A Source in memory."""

    texts: dict[str, bytes] = field(default_factory=dict)
    name: str = "shelf"
    is_whole: bool = True
    max_concurrent_reads: int = 4
    num_skipped: int = 0
    is_gone: bool = False

    async def objects(self) -> AsyncIterator[SourceObject]:
        for path, data in self.texts.items():
            yield SourceObject(path, f"shelf:{path}", None, len(data))

    async def read(self, wanted: SourceObject, max_bytes: int, known_version: str = "") -> Content | None:
        if self.is_gone:
            raise SourceUnavailable("the shelf is gone")
        if known_version == "same":
            return None
        if wanted.path not in self.texts:
            raise ObjectUnreadable("it is gone")
        return Content(self.texts[wanted.path], metadata={"uri": wanted.location})

    async def close(self) -> None:
        return


def wanted(*paths: str) -> list[Wanted]:
    return [Wanted(SourceObject(path, f"shelf:{path}", None)) for path in paths]


@pytest.fixture
def embedder() -> Embedder:
    return Embedder()


@pytest.fixture
async def keeper(tmp_path: Path, embedder: Embedder) -> AsyncIterator[Keeper]:
    made = Keeper(CONFIG, tmp_path, "acme", await embedder.describe())
    yield made
    await made.close()


def maker(embedder: Embedder, keeper: Keeper) -> Maker:
    return Maker("shelf", CONFIG, CheckedEmbedder(embedder), SPACE, keeper.known)


async def test_reading() -> None:
    shelf = Shelf({"a.txt": b"rays", "b.txt": b"reefs"})
    asked = [*wanted("a.txt", "gone.txt"), Wanted(SourceObject("b.txt", "shelf:b.txt", None), "same")]
    found = await read(shelf, asked, 1000, {"k": "v"})
    assert [(one.path, dict(one.metadata), where) for one, where in found.documents] == [
        ("a.txt", {"uri": "shelf:a.txt", "k": "v"}, "shelf:a.txt")
    ]
    assert [(one.path, one.location, one.reason) for one in found.failures] == [
        ("gone.txt", "shelf:gone.txt", "it is gone")
    ]
    assert found.num_unchanged == 1
    shelf.is_gone = True
    with pytest.raises(SourceUnavailable):
        await read(shelf, asked, 1000, {})


async def test_from_bytes_to_answers(embedder: Embedder, keeper: Keeper, context: RequestContext) -> None:
    shelf = Shelf(
        {f"{n}.txt": f"ray {n} glides over reef {n}".encode() for n in range(5)} | {"x.pdf": b"no pdf"}
    )
    given = await read(shelf, wanted(*shelf.texts), 10_000, {})
    made = await maker(embedder, keeper).make(given, context)
    assert [one.path for one in made.failures] == ["x.pdf"]
    assert all(not one.document.content for one, _ in made.drafts)
    outcomes = await keeper.store("shelf", pickle.loads(pickle.dumps(made)))
    assert [one.status for one in outcomes] == ["added"] * 5
    assert len(embedder.texts) == 5

    again = await maker(embedder, keeper).make(given, context)  # after a kill: nothing is embedded twice
    assert len(embedder.texts) == 5
    assert [one.status for one in await keeper.store("shelf", again)] == ["changed"] * 5
    status = await keeper._knowledge.status(RequestContext("r", "acme", context.deadline))
    assert (status.num_documents, status.num_chunks) == (5, 5)
    documents = await keeper._knowledge.list_documents(RequestContext("r", "acme", context.deadline))
    assert {one.num_bytes for one in documents} == {len("ray 0 glides over reef 0")}
    assert (await keeper.plan("shelf", {one.path: one.sha256 for one in documents})).upload == ()


async def test_a_text_at_fault_fails_its_document_alone(
    embedder: Embedder, keeper: Keeper, context: RequestContext
) -> None:
    embedder.poison = "poison"
    shelf = Shelf({"a.txt": b"rays glide", "b.txt": b"poison here", "c.txt": b"reefs stand"})
    made = await maker(embedder, keeper).make(await read(shelf, wanted(*shelf.texts), 1000, {}), context)
    outcomes = {one.path: one for one in await keeper.store("shelf", made)}
    assert {path: str(one.status) for path, one in outcomes.items()} == {
        "a.txt": "added",
        "b.txt": "failed",
        "c.txt": "added",
    }
    assert "no vector for poison" in outcomes["b.txt"].reason


async def test_what_is_not_of_the_bases_model_is_refused(
    embedder: Embedder, keeper: Keeper, context: RequestContext
) -> None:
    shelf = Shelf({"a.txt": b"rays glide"})
    given = await read(shelf, wanted("a.txt"), 1000, {})
    other = Maker("shelf", CONFIG, CheckedEmbedder(embedder), VectorSpace("another", 16), keeper.known)
    with pytest.raises(Unavailable, match="embedding model changed"):
        await other.make(given, context)
    made = await maker(embedder, keeper).make(given, context)
    made.vectors.clear()
    with pytest.raises(Unavailable, match="not all of them"):
        await keeper.store("shelf", made)
    assert await keeper.known([]) == {}


async def test_known_texts_are_asked_for_once(
    embedder: Embedder, keeper: Keeper, context: RequestContext
) -> None:
    asked: list[Collection[str]] = []

    async def known(hashes: Collection[str]) -> Mapping[str, Any]:
        asked.append(hashes)
        return await keeper.known(hashes)

    made = Maker("shelf", CONFIG, CheckedEmbedder(embedder), SPACE, known)
    shelf = Shelf({f"{n}.txt": b"the same text" for n in range(3)})
    given = await read(shelf, wanted(*shelf.texts), 1000, {})
    await keeper.store("shelf", await made.make(given, context))
    assert [len(one) for one in asked] == [3]  # a document's title is a part of its text
    nothing = await made.make(Read(), context)
    assert (nothing.drafts, len(asked)) == ([], 1)


def test_dead_letters_can_be_fed_in_again(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "dead.jsonl"
    with DeadLetterFile(path) as letters:
        letters.add([])
        assert not path.exists()
        letters.add([DeadLetter("acme", "docs", "a\u00e9.pdf", "s3://x", "broken", "now")])
        letters.add([DeadLetter("acme", "docs", "b.pdf", "", "too large", "now")])
    assert letters.num_letters == 2
    assert dead_letters.read(path) == {("acme", "docs"): frozenset({"a\u00e9.pdf", "b.pdf"})}
    with path.open("a") as file:
        file.write('{"tenant": "ac')  # killed while it wrote
    assert dead_letters.read(path)[("acme", "docs")] == {"a\u00e9.pdf", "b.pdf"}
    path.write_text('{"no": "letter"}\n{}\n')
    with pytest.raises(BadRequest, match=r"dead\.jsonl:1"):
        dead_letters.read(path)
    with pytest.raises(BadRequest, match="cannot be read"):
        dead_letters.read(tmp_path / "missing")
