from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.schema import ChunkingConfig
from serve_app.retrieval.documents.chunking import ChunkText, cut, embedded_text
from serve_app.retrieval.documents.load import LoadedDocument, Section

SMALL = ChunkingConfig(max_tokens=40, overlap_tokens=12)


def document(*texts: str, headings: tuple[str, ...] = ()) -> LoadedDocument:
    return LoadedDocument(
        "T", "text/plain", tuple(Section((*headings, str(i)), t, None) for i, t in enumerate(texts))
    )


def sentences(num: int, words: int = 9) -> str:
    return " ".join(f"Sentence {index} " + "word " * (words - 3) + "end." for index in range(num))


def visible(text: str) -> str:
    return re.sub(r"\s", "", text)


def without_overlaps(section: str, chunks: list[ChunkText]) -> str:
    """The section put together again: each chunk must begin inside or right at the end of the one before."""
    whole, at = visible(section), 0
    for chunk in chunks:
        text = visible(chunk.text)
        starts = [start for start in range(max(0, at - len(text)), at + 1) if whole.startswith(text, start)]
        reach = max((start + len(text) for start in starts), default=-1)
        assert reach > at or whole[at:] == "", f"{chunk.text!r} adds nothing at {at}"
        at = reach
    return whole[:at]


async def test_a_section_that_fits_is_one_chunk(counter):
    chunks = await cut(document("One.\n\nTwo.", "Three."), counter, SMALL)
    assert chunks == [
        ChunkText(("0",), "One.\n\nTwo.", 0, None, 0, 10),
        ChunkText(("1",), "Three.", 1, None, 12, 18),
    ]


async def test_the_last_two_chunks_are_even(counter):
    chunks = await cut(document(sentences(30)), counter, ChunkingConfig())
    sizes = [counter.count(chunk.text) for chunk in chunks]
    assert len(sizes) == 2
    assert max(sizes) - min(sizes) < 60


async def test_appended_text_leaves_all_but_the_last_chunks_as_they_were(counter):
    before = await cut(document(sentences(100)), counter, ChunkingConfig())
    after = await cut(document(sentences(101)), counter, ChunkingConfig())
    assert [chunk.text for chunk in before[:-2]] == [chunk.text for chunk in after[: len(before) - 2]]
    assert len(before) > 4


async def test_tokens_are_counted_in_one_call(counter):
    await cut(document(*[sentences(20)] * 10), counter, SMALL)
    assert counter.num_calls == 1


async def test_a_chunk_repeats_whole_sentences_of_the_one_before_it(counter):
    chunks = await cut(document(sentences(12)), counter, SMALL)
    assert len(chunks) > 2
    for before, after in pairwise(chunks):
        repeated = re.match(r"Sentence \d+ .*?end\.", after.text)[0]
        assert before.text.endswith(repeated)
        assert after.text != repeated


async def test_without_overlap_nothing_is_repeated(counter):
    text = sentences(12)
    chunks = await cut(document(text), counter, ChunkingConfig(max_tokens=40, overlap_tokens=0))
    assert visible("".join(chunk.text for chunk in chunks)) == visible(text)


async def test_a_chunk_ends_with_a_paragraph_where_it_can(counter):
    paragraphs = [sentences(3), sentences(3), sentences(2)]
    chunks = await cut(
        document("\n\n".join(paragraphs)), counter, ChunkingConfig(max_tokens=46, overlap_tokens=0)
    )
    assert [chunk.text for chunk in chunks] == paragraphs


async def test_rows_and_items_are_not_torn(counter):
    rows = "\n".join(f"name: n{index} value: v{index} more: m" for index in range(30))
    chunks = await cut(document(rows), counter, SMALL)
    assert all(
        re.fullmatch(r"name: n\d+ value: v\d+ more: m", row) for c in chunks for row in c.text.split("\n")
    )


async def test_neighbours_under_the_same_headings_share_chunks(counter):
    records = LoadedDocument(
        "T", "application/json", tuple(Section((), f"record {i}", None) for i in range(5))
    )
    assert [chunk.text for chunk in await cut(records, counter, SMALL)] == [
        "record 0\n\nrecord 1\n\nrecord 2\n\nrecord 3\n\nrecord 4"
    ]


async def test_pages_are_not_joined(counter):
    pages = LoadedDocument("T", "application/pdf", (Section((), "one", 1), Section((), "two", 2)))
    assert [(chunk.text, chunk.page, chunk.ordinal) for chunk in await cut(pages, counter, SMALL)] == [
        ("one", 1, 0),
        ("two", 2, 1),
    ]


async def test_long_headings_take_their_room_from_the_text(counter):
    headings = ("heading " * 40,)
    plain = await cut(document(sentences(9)), counter, ChunkingConfig(max_tokens=100))
    under = await cut(document(sentences(9), headings=headings), counter, ChunkingConfig(max_tokens=100))
    assert len(plain) == 1
    assert len(under) == 2
    assert max(counter.count(embedded_text("T", chunk)) for chunk in under) <= 100 + 32


async def test_a_megabyte_on_one_line_is_cut(counter):
    for text in ("x" * 1_000_000, "word " * 200_000, "深度学习" * 80_000, "." * 1_000_000):
        chunks = await cut(document(text), counter, ChunkingConfig(overlap_tokens=0))
        assert visible("".join(chunk.text for chunk in chunks)) == visible(text)
        assert max(len(chunk.text) for chunk in chunks) < 60_000


async def test_scripts_without_blanks_are_cut_to_size(counter):
    chunks = await cut(document("深度学习是机器学习的一个分支" * 100), counter, ChunkingConfig())
    assert len(chunks) > 5
    assert max(counter.count(chunk.text) for chunk in chunks) <= 220


_TEXTS = st.lists(
    st.sampled_from(
        [
            "word",
            "Word.",
            "\n",
            "\n\n",
            " ",
            "- item",
            "句子。",
            "x" * 50,
            "a.b",
            "é",
            "  code",
            "😀",
            "\n```\n",
            "\na | b\n",
            "c | d\n",
        ]
    ),
    min_size=1,
    max_size=200,
).map(lambda parts: " ".join(parts).strip() or "x")


@settings(deadline=None)
@given(st.lists(_TEXTS, min_size=1, max_size=4), st.integers(32, 80), st.integers(0, 16))
async def test_nothing_is_lost_or_too_long_and_the_same_comes_again(texts, max_tokens, overlap):
    config = ChunkingConfig(max_tokens=max_tokens, overlap_tokens=overlap)
    loaded = document(*texts)

    async def count(pieces):
        return [len(re.findall(r"[A-Za-z]+|\S", piece)) for piece in pieces]

    chunks = await cut(loaded, count, config)
    assert chunks == await cut(loaded, count, config)
    assert [chunk.ordinal for chunk in chunks] == list(range(len(chunks)))
    assert [loaded.text[chunk.start : chunk.end] for chunk in chunks] == [chunk.text for chunk in chunks]
    assert all(chunk.text == chunk.text.strip() != "" for chunk in chunks)
    assert max(await count([chunk.text for chunk in chunks])) <= max_tokens
    for section in loaded.sections:
        own = [chunk for chunk in chunks if chunk.headings[:1] == section.headings]
        assert without_overlaps(section.text, own) == visible(section.text)


CODE = "```python\n" + "\n\n".join(f"def f{index}(): return {index}" for index in range(4)) + "\n```"


async def test_code_that_fits_stays_whole(counter):
    config = ChunkingConfig(max_tokens=60, overlap_tokens=12)
    text = f"{sentences(3)}\n\n{CODE}\n\n{sentences(5)}"
    chunks = await cut(document(text), counter, config)
    assert [chunk.text.count("```") for chunk in chunks if "```" in chunk.text] == [2]
    assert visible(CODE) in visible("".join(chunk.text for chunk in chunks))
    assert all(text[chunk.start : chunk.end] == chunk.text for chunk in chunks)


async def test_code_that_does_not_fit_is_cut_between_lines(counter):
    code = "```\n" + "\n".join(f"step {index} of many more steps" for index in range(40)) + "\n```"
    chunks = await cut(document(f"Intro.\n\n{code}"), counter, SMALL)
    assert len(chunks) > 3
    assert all(
        line.startswith(("Intro", "```", "step")) for c in chunks for line in c.text.split("\n") if line
    )


async def test_a_long_table_repeats_its_header_as_a_heading(counter):
    rows = "\n".join(f"plan {index} | {index} euros | {index} seats" for index in range(20))
    table = f"Plan | Price | Seats\n{rows}"
    chunks = await cut(document(f"What it costs.\n\n{table}"), counter, ChunkingConfig(max_tokens=60))
    assert len(chunks) > 2
    assert chunks[0].headings == ("0",)
    assert {chunk.headings for chunk in chunks[1:]} == {("0", "Plan | Price | Seats")}
    assert all(row.startswith(("What", "Plan", "plan")) for c in chunks for row in c.text.split("\n") if row)
    assert max(counter.count(embedded_text("T", chunk)) for chunk in chunks) <= 60 + 32
    short = await cut(document(f"What it costs.\n\n{table}"), counter, ChunkingConfig())
    assert [chunk.headings for chunk in short] == [("0",)]


async def test_offsets_lead_to_the_place_in_the_document(counter):
    sections = (
        Section(("a",), "\n\n One.  Two.", 1), Section(("a",), "Three.", 1), Section(("b",), sentences(9), 2),
    )  # fmt: skip
    loaded = LoadedDocument("T", "text/plain", sections)
    chunks = await cut(loaded, counter, SMALL)
    assert chunks[0].text == "One.  Two.\n\nThree."
    assert [loaded.text[chunk.start : chunk.end] for chunk in chunks] == [chunk.text for chunk in chunks]


def test_the_embedded_text_says_where_it_stands():
    chunk = ChunkText(("Top", "Low"), "text", 0, None)
    assert embedded_text("Title", chunk) == "Title\nTop\nLow\ntext"
    assert embedded_text("Top", chunk) == "Top\nLow\ntext"
    assert embedded_text("Title", ChunkText((), "text", 0, None)) == "Title\ntext"


def test_headings_without_end_leave_the_nearest():
    chunk = ChunkText(("a" * 300, "b" * 300, "c"), "text", 0, None)
    assert embedded_text("Title", chunk) == "b" * 300 + "\nc\ntext"


async def test_the_repositorys_own_documents_are_cut_well(read, counter):
    root = Path(__file__).parents[4]
    paths = [*root.glob("*.md"), *root.glob("docs/**/*.md")]
    if not paths:
        pytest.skip("no documentation is here yet")
    for path in paths:
        chunks = await cut(read(path.name, path.read_bytes()), counter, ChunkingConfig())
        assert chunks, path
        assert max(counter.count(chunk.text) for chunk in chunks) <= 220, path
