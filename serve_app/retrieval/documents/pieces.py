"""Where a text may be cut, and how well: after paragraphs, after lines and sentences, or in between.

Knows nothing of tokens: a piece is small enough for any tokenizer because of its bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from serve_app.retrieval.documents.structure import Block


class Cut(IntEnum):
    """What a piece begins with; the smaller, the better a chunk begins there."""

    PARAGRAPH = 0
    SENTENCE = 1  # or a line: a list's item, a table's row, a line of code
    WORD = 2
    CHARACTER = 3


@dataclass(frozen=True, slots=True)
class Piece:
    """A slice of a text that is never cut further; the blanks after it belong to it."""

    start: int
    end: int
    cut: Cut  # at `start`


# Every alternative is linear: it starts at a fixed character, and its repetitions never give back.
_BOUNDARY = re.compile(
    r"\n[ \t]*+\n\s*+"  # a blank line
    r"|\n"  # a line's end, unless the line was only wrapped
    r"|(?<=[.!?…])[\"'\u201d\u2019»)\]]{0,3}\s++"  # a sentence's end: full stop, closing quotes, blanks
    r"|(?<=[。\uff01\uff1f｡])[」』\uff09\u201d\u2019]{0,3}"  # the same, in scripts without blanks
)
_MIN_SENTENCE = 5  # characters; "1. " and "Dr. " end no sentence
_MIN_WRAPPED = 50  # characters of a line


def pieces(text: str, max_bytes: int, blocks: Sequence[Block] = ()) -> list[Piece]:
    """The text as pieces that lie end to end and begin and end with it.

    Args:
        text: without blanks at its ends.
        max_bytes: of a piece in UTF-8. No tokenizer makes more tokens than that of it.
        blocks: of the text, in order; a blank line inside of one is no better a place than any line's end.
    """
    found: list[Piece] = []
    start, cut = 0, Cut.PARAGRAPH
    for end, next_cut in (*_outside(blocks, _boundaries(text)), (len(text), Cut.PARAGRAPH)):
        for inner_end, inner_cut in _inner(text, start, end, max_bytes):
            found.append(Piece(start, inner_end, cut))
            start, cut = inner_end, inner_cut
        found.append(Piece(start, end, cut))
        start, cut = end, next_cut
    return found


def _outside(blocks: Sequence[Block], found: Iterator[tuple[int, Cut]]) -> Iterator[tuple[int, Cut]]:
    """The boundaries; those inside of blocks are lines' ends, and nothing better."""
    waiting = iter(blocks)
    block = next(waiting, None)
    for at, cut in found:
        while block is not None and block.end <= at:
            block = next(waiting, None)
        is_inside = block is not None and block.start < at
        yield at, max(cut, Cut.SENTENCE) if is_inside else cut


def _boundaries(text: str) -> Iterator[tuple[int, Cut]]:
    last = 0
    for match in _BOUNDARY.finditer(text):
        end = match.end()
        if last < end < len(text) and (cut := _cut_at(text, match, last)) is not None:
            yield end, cut
            last = end


def _cut_at(text: str, match: re.Match[str], last: int) -> Cut | None:
    """What a boundary is, by its blanks and what stands around it; None if it is none."""
    blank, next_char = match[0], text[match.end()]
    if blank.count("\n") > 1:
        return Cut.PARAGRAPH
    if blank == "\n" and next_char.islower():
        # Prose that is wrapped has long lines and goes on in lower case; items and rows rarely do both.
        num_chars = match.start() - text.rfind("\n", 0, match.start()) - 1
        return None if num_chars >= _MIN_WRAPPED else Cut.SENTENCE
    if "\n" in blank:
        return Cut.SENTENCE
    is_sentence = match.end() - last >= _MIN_SENTENCE and not next_char.islower() and not next_char.isdigit()
    return Cut.SENTENCE if is_sentence else None


def _inner(text: str, start: int, end: int, max_bytes: int) -> Iterator[tuple[int, Cut]]:
    """Cuts inside of a sentence that is too long for one piece: between words, else anywhere."""
    while (stop := _fit(text, start, end, max_bytes)) < end:
        blanks = max((text.rfind(blank, start, stop) for blank in " \n\t"), default=-1)
        if blanks > start:
            start, cut = blanks + 1, Cut.WORD
        else:
            start, cut = stop, Cut.CHARACTER
        yield start, cut


def _fit(text: str, start: int, end: int, max_bytes: int) -> int:
    """The furthest place up to `end` so that the slice has at most `max_bytes` (or is one character)."""
    if (end - start) * 4 <= max_bytes:
        return end
    window = text[start : min(end, start + max_bytes)].encode()
    if len(window) <= max_bytes:
        return min(end, start + max_bytes)
    return start + max(1, len(window[:max_bytes].decode("utf-8", "ignore")))
