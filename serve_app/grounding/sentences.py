"""The sentences of a passage, with what kind of text each of them is.

Passages are Markdown or plain text, often cut in the middle. A sentence is quoted as it stands, but
for line breaks inside a paragraph and for the marks of lists and headings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

# A list or some code that an introducing "...:" keeps with itself, at most this long.
_MAX_INTRODUCED_CHARS = 400

# "Passage. A chunk of a document." is a term and what it means: so few words stay with what follows.
_MAX_TERM_WORDS = 2

_FENCE = re.compile(r"^\s*(```|~~~)")
_HEADING = re.compile(r"^\s{0,3}#{1,6}\s+|^(=|-){3,}\s*$")
_ITEM = re.compile(r"^\s*(?:[-*+•]|\d{1,2}[.)])\s+")
# With or without bars at its ends: the loaders of documents leave them out.
_TABLE_ROW = re.compile(r"^\s*\|.*\|\s*$|^.*\S \| \S")
_INDENTED = re.compile(r"^(?: {4}|\t)\S")
# The end of a sentence: its mark, closing quotes or brackets, white space, and something that can begin one.
_END = re.compile(r"(?<=[.!?。！？])[\"'”’)\]]*\s+(?=`|[\"'“‘(\[*_]*[^\W_a-z])|(?<=[。！？])")  # noqa: RUF001 (CJK marks)
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:e\.g|i\.e|cf|vs|etc|approx|resp|al|no|fig|figs|eq|ref|refs|sec|vol|dr|mr|mrs|ms|prof|st|ca"
    r"|incl|[A-Z])\.$",
    re.IGNORECASE,
)


class Kind(StrEnum):
    """What a sentence is made of."""

    PROSE = "prose"
    ITEM = "item"
    HEADING = "heading"
    TABLE = "table"
    CODE = "code"


@dataclass(frozen=True, slots=True)
class Sentence:
    """A piece of a passage that can be quoted alone."""

    text: str
    kind: Kind
    position: int  # in its passage, from 0


_STARTS = ((_FENCE, Kind.CODE), (_HEADING, Kind.HEADING), (_TABLE_ROW, Kind.TABLE), (_ITEM, Kind.ITEM))


def sentences(text: str) -> tuple[Sentence, ...]:
    """The passage's sentences in reading order."""
    pieces: list[tuple[Kind, str]] = []
    blocks = _with_table_heads(list(_blocks(text.split("\n"))))
    for at, (kind, block) in enumerate(blocks):
        parts = [block] if kind in (Kind.CODE, Kind.TABLE, Kind.HEADING) else _split(block)
        if kind is Kind.CODE and pieces and _introduces(pieces[-1], blocks[at - 1], block):
            pieces[-1] = (pieces[-1][0], f"{pieces[-1][1]}\n{block}")
            continue
        pieces += [(kind, part) for part in parts]
    return tuple(Sentence(piece, kind, at) for at, (kind, piece) in enumerate(pieces))


def _with_table_heads(blocks: list[tuple[Kind, str]]) -> list[tuple[Kind, str]]:
    """The first of several rows names the columns; alone it says nothing."""
    marked = []
    for at, (kind, block) in enumerate(blocks):
        is_first = kind is Kind.TABLE and (at == 0 or blocks[at - 1][0] is not Kind.TABLE)
        has_next = at + 1 < len(blocks) and blocks[at + 1][0] is Kind.TABLE
        marked.append((Kind.HEADING if is_first and has_next else kind, block))
    return marked


def _introduces(piece: tuple[Kind, str], before: tuple[Kind, str], block: str) -> bool:
    kind, text = piece
    is_next = before[1].endswith(text)
    return is_next and kind is not Kind.CODE and text.endswith(":") and len(block) <= _MAX_INTRODUCED_CHARS


def _blocks(lines: Sequence[str]) -> Iterator[tuple[Kind, str]]:
    """Paragraphs, list items, headings, table rows and code, each with its kind."""
    paragraph: list[str] = []
    kind = Kind.PROSE
    fence: list[str] | None = None
    for line in lines:
        if fence is not None:
            fence.append(line)
            if _FENCE.match(line):
                yield Kind.CODE, "\n".join(fence)
                fence = None
            continue
        begins = _begins(line, is_inside=bool(paragraph))
        if begins is not None and paragraph:
            yield kind, " ".join(paragraph)
            paragraph, kind = [], Kind.PROSE
        if _FENCE.match(line):
            fence = [line]
        elif begins in (Kind.HEADING, Kind.TABLE, Kind.CODE):
            if line.strip(" \t=-|:"):  # not the rule under a head
                yield begins, _bare(line, begins)
        elif line.strip():
            if begins is Kind.ITEM:
                kind = Kind.ITEM
            paragraph.append(_ITEM.sub("", line, count=1).strip())
    if fence is not None:
        yield Kind.CODE, "\n".join([*fence, "```"])  # cut in the middle by the chunker
    if paragraph:
        yield kind, " ".join(paragraph)


def _bare(line: str, kind: Kind) -> str:
    if kind is Kind.HEADING:
        return _HEADING.sub("", line).strip()
    return line.strip().strip("|").strip() if kind is Kind.TABLE else line.rstrip()


def _begins(line: str, *, is_inside: bool) -> Kind | None:
    """The kind of block that begins with this line; None if it continues the one before it."""
    if not line.strip():
        return Kind.PROSE
    for pattern, kind in _STARTS:
        if pattern.match(line):
            return kind
    return Kind.CODE if _INDENTED.match(line) and not is_inside else None


def _split(paragraph: str) -> list[str]:
    parts: list[str] = []
    start = 0
    for end in _END.finditer(paragraph):
        # The closing quotes belong to the sentence, the white space to nobody.
        stop = end.start() + len(end.group().rstrip())
        candidate = paragraph[start:stop].strip()
        if not candidate or _ABBREVIATION.search(paragraph[start : end.start()]):
            continue
        if candidate.endswith(".") and len(candidate.split()) <= _MAX_TERM_WORDS:
            continue
        parts.append(candidate)
        start = end.end()
    rest = paragraph[start:].strip()
    return [*parts, rest] if rest else parts
