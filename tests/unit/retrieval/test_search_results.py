"""What a search gives beyond its ranking: no duplicates, neighbours as one, and the places of passages."""

from __future__ import annotations

from configs.schema import ChunkingConfig, RetrievalConfig
from serve_app.messages import DocumentInput, SearchMode, SearchQuery

TEXT = "\n\n".join(
    f"Manta rays of reef {at} glide over the sandy bottom every morning at {at}." for at in range(8)
)


def document(path: str, text: str, **metadata: str) -> DocumentInput:
    return DocumentInput(path, text.encode(), metadata=metadata)


async def test_the_same_passage_in_many_documents_is_one_result(world, context) -> None:
    base = world.open()
    await base.put_documents(
        "docs", [document(f"copy{at}.txt", "Manta rays glide over the reef.") for at in range(9)], context
    )
    await base.put_documents("docs", [document("other.txt", "Manta rays are cleaned at stations.")], context)
    for mode in SearchMode:
        found = await base.search(SearchQuery("manta rays glide over the reef", 3, mode), context)
        paths = [one.path for one in found.passages]
        assert len(paths) == 2, mode
        assert "other.txt" in paths
    retrieval = RetrievalConfig(duplicate_share=None)
    world.config = world.config.model_copy(update={"retrieval": retrieval})
    found = await world.open().search(SearchQuery("manta rays glide over the reef", 3), context)
    assert len(found.passages) == 3


async def test_a_passage_knows_its_place_and_neighbours_come_as_one(world, context) -> None:
    chunking = ChunkingConfig(max_tokens=40, overlap_tokens=16)
    world.config = world.config.model_copy(update={"chunking": chunking})
    base = world.open()
    dated = "---\ndate: 2026-01-02\n---\n" + TEXT
    await base.put_documents("docs", [document("a.md", dated, uri="https://example.org/a")], context)
    apart = (await base.search(SearchQuery("manta rays glide", 20), context)).passages
    assert len(apart) > 2
    for one in apart:
        assert one.text == TEXT[one.start : one.end]
        assert one.metadata == {"uri": "https://example.org/a", "created_at": "2026-01-02T00:00:00+00:00"}
    (joined,) = (await base.search(SearchQuery("manta rays glide", 20, joins=True), context)).passages
    assert joined.text == TEXT
    assert (joined.start, joined.end) == (0, len(TEXT))


async def test_the_same_text_read_again_embeds_nothing(world, context) -> None:
    base = world.open()
    await base.put_documents("docs", [document("a.md", TEXT)], context)
    num_embedded = world.embedder.num_passages
    await base.put_documents("docs", [document("a.md", TEXT, team="sea")], context)
    assert world.embedder.num_passages == num_embedded
    listed = await base.list_documents(context)
    assert [one.metadata for one in listed] == [{"team": "sea"}]
