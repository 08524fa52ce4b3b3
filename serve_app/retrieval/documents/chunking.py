"""Cuts a loaded document into the chunks that are embedded and cited.

A section is one thing that somebody named, so a chunk never reaches over its ends, however short it
is: its headings, which are embedded with it, then say exactly what it is about. Inside a section
chunks are filled up to the limit one after the other, so that a change leaves the chunks before it as
they were; only the last two share evenly (300 tokens make two chunks of about 165, not 220 and a rest).
They end after a paragraph where one ends in their second half, else after a sentence or a
line, and inside of those only where one alone is too long.

Knows nothing of formats and of models: tokens are counted by whom the caller passes in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import Protocol

from configs.schema import ChunkingConfig
from serve_app.retrieval.documents.base import LoadedDocument, Section
from serve_app.retrieval.documents.pieces import Cut, Piece, pieces

CHUNKER_VERSION = 1  # of the chunks that come out; another one cuts every document anew

# Title and headings are embedded with each chunk. What they have beyond this comes out of its text,
# down to half of it, so that a limit of 220 stays inside of a model of 256 with its special tokens.
FREE_HEADING_TOKENS = 32
MAX_HEADING_CHARS = 400
# WordPiece counts pieces apart as it counts them together. Tokenizers that merge over blanks may
# count one more where two pieces meet; this much of each chunk is left for it.
_SPARE_SHARE = 0.02

CountTokens = Callable[[Sequence[str]], Awaitable[list[int]]]


@dataclass(frozen=True, slots=True)
class ChunkText:
    """A piece of a document: what is cited, and (by `embedded_text`) what is embedded."""

    headings: tuple[str, ...]  # of its section
    text: str  # a slice of the section, without blanks at its ends; never empty
    ordinal: int  # in the document, from 0
    page: int | None


@dataclass(frozen=True, slots=True)
class _Cuttable:
    """A section with the places where it may be cut."""

    section: Section
    heading_text: str
    pieces: list[Piece]

    def texts(self) -> Iterator[str]:
        yield self.heading_text
        for piece in self.pieces:
            yield self.section.text[piece.start : piece.end]


async def cut(document: LoadedDocument, count_tokens: CountTokens, config: ChunkingConfig) -> list[ChunkText]:
    """The document's chunks in order: equal input makes equal chunks.

    Without what chunks repeat of the one before them, they hold every visible character of the
    document once, in its order. Time is linear in its length.

    Args:
        document: of `load`.
        count_tokens: tokens of each text by the embedder's own tokenizer, without special tokens;
            called once, with all pieces of the document.
        config: a chunk's text has at most `max_tokens` and begins with whole sentences or lines of
            the one before it, as many as `overlap_tokens` hold.
    """
    cuttables = await asyncio.to_thread(_prepare, document, _text_limit(config.max_tokens))
    counts = await count_tokens([text for one in cuttables for text in one.texts()])
    return await asyncio.to_thread(_chunks, cuttables, counts, config)


class Headed(Protocol):
    """A text below headings: a chunk on its way in, or one that is stored."""

    @property
    def headings(self) -> tuple[str, ...]: ...

    @property
    def text(self) -> str: ...


def embedded_text(title: str, chunk: Headed) -> str:
    """What the embedder and the lexical index see of a chunk: where it stands, then its text."""
    return "\n".join(filter(None, (_heading_text(title, chunk.headings), chunk.text)))


def _text_limit(max_tokens: int) -> int:
    return int(max_tokens * (1 - _SPARE_SHARE))


def _heading_text(title: str, headings: tuple[str, ...]) -> str:
    lines = headings if headings[:1] == (title,) else (title, *headings)
    while len(lines) > 1 and sum(map(len, lines)) > MAX_HEADING_CHARS:
        lines = lines[1:]  # the nearest says most
    return "\n".join(lines)


def _prepare(document: LoadedDocument, max_bytes: int) -> list[_Cuttable]:
    return [
        _Cuttable(section, _heading_text(document.title, section.headings), pieces(section.text, max_bytes))
        for section in _joined(document.sections)
    ]


def _joined(sections: Sequence[Section]) -> Iterator[Section]:
    """The sections, neighbours under the same headings as one: a file's untitled records."""
    for (headings, page), group in groupby(sections, key=lambda section: (section.headings, section.page)):
        yield Section(headings, "\n\n".join(section.text.strip() for section in group), page)


def _chunks(cuttables: list[_Cuttable], counts: list[int], config: ChunkingConfig) -> list[ChunkText]:
    chunks: list[ChunkText] = []
    next_count = iter(counts)
    for one in cuttables:
        heading_tokens = next(next_count)
        ends = list(accumulate((next(next_count) for _ in one.pieces), initial=0))
        limit = max(config.max_tokens - max(0, heading_tokens - FREE_HEADING_TOKENS), config.max_tokens // 2)
        for start, end in _spans(one.pieces, ends, _text_limit(limit), config.overlap_tokens):
            text = one.section.text[one.pieces[start].start : one.pieces[end - 1].end].strip()
            if text:
                chunks.append(ChunkText(one.section.headings, text, len(chunks), one.section.page))
    return chunks


def _spans(found: list[Piece], ends: list[int], limit: int, overlap: int) -> list[tuple[int, int]]:
    """Which pieces each chunk has (from, to): filled one after the other, the last two of even size.

    So text that is appended changes the last two chunks or three, and none before them.
    """
    spans = _packed(found, ends, limit, overlap)
    if len(spans) == 1:
        return spans
    first = spans[-2][0]
    even = (ends[-1] - ends[first] + overlap) / 2
    for slack in (1.05, 1.15, 1.3):
        tried = _packed(found, ends, min(limit, int(even * slack)), overlap, first)
        if len(tried) == 2:
            return spans[:-2] + tried
    return spans


def _packed(
    found: list[Piece], ends: list[int], limit: int, overlap: int, first: int = 0
) -> list[tuple[int, int]]:
    """Chunks filled one after the other. `ends[i]` is the number of tokens before piece i."""
    spans: list[tuple[int, int]] = []
    start = fresh = first  # the chunk's first piece, and its first that no chunk had before
    while fresh < len(found):
        stop = fresh + 1
        while stop < len(found) and ends[stop + 1] - ends[start] <= limit:
            stop += 1
        if stop < len(found):
            stop = _best_stop(found, ends, start, fresh, stop)
        spans.append((start, stop))
        start = _overlap_start(found, ends, fresh, stop, overlap, limit)
        fresh = stop
    return spans


def _best_stop(found: list[Piece], ends: list[int], start: int, fresh: int, stop: int) -> int:
    """The last of the best cuts in the chunk's second half."""
    half = (ends[start] + ends[stop]) / 2
    best = stop
    for at in range(stop - 1, fresh, -1):
        if ends[at] < half or found[best].cut is Cut.PARAGRAPH:
            break
        if found[at].cut < found[best].cut:
            best = at
    return best


def _overlap_start(
    found: list[Piece], ends: list[int], fresh: int, stop: int, overlap: int, limit: int
) -> int:
    """The first whole sentence of a chunk's end that the next chunk repeats; `stop` if none is short enough."""
    if stop == len(found):
        return stop
    # The next piece must still fit beside what is repeated.
    room = min(overlap, limit - (ends[stop + 1] - ends[stop]))
    start = stop
    for at in range(stop - 1, fresh, -1):
        if ends[stop] - ends[at] > room:
            break
        if found[at].cut <= Cut.SENTENCE:
            start = at
    return start
