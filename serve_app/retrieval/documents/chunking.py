"""Cuts a loaded document into the chunks that are embedded and cited.

A section is one thing that somebody named, so a chunk never reaches over its ends, however short it
is: its headings, which are embedded with it, then say exactly what it is about. Inside a section
chunks are filled up to the limit one after the other, so that a change leaves the chunks before it as
they were; only the last two share evenly (300 tokens make two chunks of about 165, not 220 and a rest).
They end after a paragraph where one ends in their second half, else after a sentence or a
line, and inside of those only where one alone is too long. Fenced code and tables that fit into a chunk
stay whole; a table that does not repeats its header above the rows of each chunk, as a heading.

Knows nothing of formats and of models: tokens are counted by whom the caller passes in.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import Protocol

from configs.schema import ChunkingConfig
from serve_app.retrieval.documents.base import LoadedDocument, Section
from serve_app.retrieval.documents.pieces import Cut, Piece, pieces
from serve_app.retrieval.documents.structure import Block, blocks

CHUNKER_VERSION = 2  # of the chunks that come out; another one cuts every document anew

# Title and headings are embedded with each chunk. What they have beyond this comes out of its text,
# down to half of it, so that a limit of 220 stays inside of a model of 256 with its special tokens.
FREE_HEADING_TOKENS = 32
MAX_HEADING_BYTES = 400
_MAX_HEADER_SHARE = 4  # a table's header of more than the fourth part of a chunk is not repeated
_MIN_LEAD_SHARE = 4  # what comes before code or a table is a chunk of its own from the fourth part on
# WordPiece counts pieces apart as it counts them together. Tokenizers that merge over blanks may
# count one more where two pieces meet; this much of each chunk is left for it.
_SPARE_SHARE = 0.02

CountTokens = Callable[[Sequence[str]], Awaitable[list[int]]]


@dataclass(frozen=True, slots=True)
class ChunkText:
    """A piece of a document: what is cited, and (by `embedded_text`) what is embedded."""

    headings: tuple[str, ...]  # of its section; then the header of the table that it continues
    text: str  # a slice of the section, without blanks at its ends; never empty
    ordinal: int  # in the document, from 0
    page: int | None
    start: int = 0  # `text` is LoadedDocument.text[start:end]
    end: int = 0


@dataclass(frozen=True, slots=True)
class _Cuttable:
    """A section with the places where it may be cut."""

    section: Section
    offset: int  # of the section in the document
    heading_text: str
    pieces: list[Piece]
    blocks: list[Block]

    def texts(self) -> Iterator[str]:
        yield self.heading_text
        for piece in self.pieces:
            yield self.section.text[piece.start : piece.end]

    def spans(self) -> list[tuple[int, int]]:
        """Which pieces each block begins and ends with (from, to)."""
        starts, ends = [piece.start for piece in self.pieces], [piece.end for piece in self.pieces]
        return [(bisect_left(starts, one.start), bisect_left(ends, one.end) + 1) for one in self.blocks]

    def repeated(self, ends: list[int], max_tokens: int) -> tuple[list[Block], int]:
        """The tables whose headers are repeated by chunks that continue them, and the most tokens of one.

        None where the section is one chunk, and none that would take too much of one.
        """
        if ends[-1] <= _text_limit(max_tokens):
            return [], 0
        found: list[Block] = []
        most = 0
        for block, (start, end) in zip(self.blocks, self.spans(), strict=True):
            stop = bisect_left(self.pieces, block.start + len(block.header), key=lambda piece: piece.end) + 1
            num_tokens = ends[min(stop, end)] - ends[start]
            if block.header and num_tokens * _MAX_HEADER_SHARE <= max_tokens:
                found.append(block)
                most = max(most, num_tokens)
        return found, most


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
    while len(lines) > 1 and sum(len(line.encode()) for line in lines) > MAX_HEADING_BYTES:
        lines = lines[1:]  # the nearest says most
    return "\n".join(lines)


def _prepare(document: LoadedDocument, max_bytes: int) -> list[_Cuttable]:
    found: list[_Cuttable] = []
    offset = 0
    for section in _joined(document.sections):
        inside = blocks(section.text)
        heading = _heading_text(document.title, section.headings)
        found.append(_Cuttable(section, offset, heading, pieces(section.text, max_bytes, inside), inside))
        offset += len(section.text) + 2
    return found


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
        above = max(0, heading_tokens - FREE_HEADING_TOKENS)
        headers, header_tokens = one.repeated(ends, config.max_tokens - above)
        limit = _text_limit(max(config.max_tokens - above - header_tokens, config.max_tokens // 2))
        for start, end in _Packer(one.pieces, ends, one.spans(), limit, config.overlap_tokens).spans():
            at = one.pieces[start].start
            sliced = one.section.text[at : one.pieces[end - 1].end]
            text = sliced.strip()
            if text:
                first = one.offset + at + len(sliced) - len(sliced.lstrip())
                header = _continued(headers, at)
                headings = (*one.section.headings, header) if header else one.section.headings
                page = one.section.page
                chunks.append(ChunkText(headings, text, len(chunks), page, first, first + len(text)))
    return chunks


def _continued(tables: list[Block], at: int) -> str:
    """The header of the table that a chunk from there on continues; "" if it continues none."""
    before = bisect_left(tables, at, key=lambda table: table.start) - 1
    return tables[before].header if before >= 0 and at < tables[before].end else ""


@dataclass(frozen=True, slots=True)
class _Packer:
    """Fills chunks with pieces one after the other."""

    pieces: list[Piece]
    ends: list[int]  # ends[i] is the number of tokens before piece i
    blocks: list[tuple[int, int]]  # what stays whole if it can, as pieces (from, to)
    limit: int
    overlap: int

    def spans(self) -> list[tuple[int, int]]:
        """Which pieces each chunk has (from, to): filled one after the other, the last two of even size.

        So text that is appended changes the last two chunks or three, and none before them.
        """
        spans = self._packed(self.limit)
        if len(spans) == 1:
            return spans
        first = spans[-2][0]
        fresh = spans[-3][1] if len(spans) > 2 else 0  # the chunk before may end where the first one would
        even = (self.ends[-1] - self.ends[first] + self.overlap) / 2
        for slack in (1.05, 1.15, 1.3):
            tried = self._packed(min(self.limit, int(even * slack)), first)
            if len(tried) == 2 and tried[0][1] > fresh:
                return spans[:-2] + tried
        return spans

    def _packed(self, limit: int, first: int = 0) -> list[tuple[int, int]]:
        found, ends = self.pieces, self.ends
        spans: list[tuple[int, int]] = []
        start = fresh = first  # the chunk's first piece, and its first that no chunk had before
        while fresh < len(found):
            stop = fresh + 1
            while stop < len(found) and ends[stop + 1] - ends[start] <= limit:
                stop += 1
            whole = self._before_block(start, fresh, stop)
            if whole is None and stop < len(found):
                stop = _best_stop(found, ends, start, fresh, stop)
            stop = stop if whole is None else whole
            spans.append((start, stop))
            # A block that is kept whole fills its chunk, where nothing of the lead is repeated.
            start = stop if whole is not None else self._overlap_start(fresh, stop, limit)
            fresh = stop
        return spans

    def _overlap_start(self, fresh: int, stop: int, limit: int) -> int:
        """Where the next chunk begins: with what it repeats, but never with the rest of a block that is over."""
        start = _overlap_start(self.pieces, self.ends, fresh, stop, self.overlap, limit)
        at = bisect_left(self.blocks, start, key=lambda block: block[0]) - 1
        is_inside = at >= 0 and start < self.blocks[at][1] <= stop
        return self.blocks[at][1] if is_inside else start

    def _before_block(self, start: int, fresh: int, stop: int) -> int | None:
        """The beginning of the block that `stop` would cut, if the block is better off in the next chunk."""
        at = bisect_left(self.blocks, stop, key=lambda block: block[0]) - 1
        if at < 0:
            return None
        begin, end = self.blocks[at]
        fits = self.ends[end] - self.ends[begin] <= self.limit
        lead = self.ends[begin] - self.ends[start]
        is_cut = fresh < begin < stop < end
        return begin if is_cut and fits and lead * _MIN_LEAD_SHARE >= self.limit else None


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
