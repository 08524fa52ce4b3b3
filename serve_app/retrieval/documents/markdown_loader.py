"""Markdown (CommonMark with tables): sections by heading, text without markup.

Links keep their text, images their alternative text, tables their rows, code its fence. Front matter gives
title and description; its other keys steer site generators and are no text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

from serve_app.retrieval.documents.base import Parsed, Unreadable, dates
from serve_app.retrieval.documents.html_loader import html_text
from serve_app.retrieval.documents.outline import Outline
from serve_app.retrieval.documents.plain_text import decode

# What is nested deeper (a list's item is two levels) the parser leaves out. It tries that many levels
# at every bracket that is not closed: measured 60 us each at 40 levels, 120 us at 100.
_PARSER = MarkdownIt("commonmark", {"maxNesting": 40}).enable(["table", "strikethrough"])
_FRONT_MATTER = re.compile(
    r"\A\ufeff?---[ \t]*\r?\n(.{0,16384}?)^(?:---|\.\.\.)[ \t]*\r?$", re.DOTALL | re.MULTILINE
)
# Jekyll's, Hugo's and Docusaurus' names
_CREATED = ("date", "created", "publishDate")
_MODIFIED = ("lastmod", "last_modified_at", "updated", "modified", "last_update")
_MAX_BRACKETS = 500_000
_INDENT = "  "


def read_markdown(content: bytes) -> Parsed:
    text = decode(content)
    if text.count("[") > _MAX_BRACKETS:
        raise Unreadable(
            f"it holds more than {_MAX_BRACKETS:,} opening brackets, each of which may be a link"
        )
    fields: dict[str, Any] = {}
    if found := _FRONT_MATTER.match(text):
        fields, text = _front_matter(found, text)
    outline = Outline()
    if isinstance(description := fields.get("description"), str):
        outline.block(description)
    _Reader(outline).read(_PARSER.parse(text))
    title = fields.get("title")
    named = title if isinstance(title, str) else outline.first_heading
    return Parsed(named, outline.sections(), dates(_date(fields, _CREATED), _date(fields, _MODIFIED)))


def _date(fields: Mapping[str, Any], names: Sequence[str]) -> datetime | None:
    """The first of these fields that is a date."""
    for name in names:
        try:
            return datetime.fromisoformat(str(fields[name]).strip())
        except (KeyError, ValueError):
            continue
    return None


def _front_matter(found: re.Match[str], text: str) -> tuple[dict[str, Any], str]:
    """The front matter's fields and the text after it; two rules around ordinary text are none."""
    try:
        # The base loader keeps every scalar a string: no dates to get wrong, no types to construct.
        fields = yaml.load(found[1], Loader=yaml.BaseLoader)  # noqa: S506
    except (yaml.YAMLError, RecursionError):
        return {}, text
    if fields is not None and not isinstance(fields, dict):
        return {}, text
    return fields or {}, text[found.end() :]


class _Reader:
    """Walks the flat list of tokens; lists and tables become one block of lines each."""

    def __init__(self, outline: Outline) -> None:
        self._outline = outline
        self._lists: list[int | None] = []  # the number of the next item of each open list; None: bullets
        self._lines: list[str] = []  # of the outermost open list
        self._marker: str | None = None  # of an item whose first line is still to come
        self._rows: list[list[str]] | None = None  # of the open table

    def read(self, tokens: Sequence[Token]) -> None:
        heading = 0
        for token in tokens:
            match token.type:
                case "heading_open":
                    heading = int(token.tag[1])
                case "heading_close":
                    heading = 0
                case "inline" if heading and not self._lists:
                    self._outline.heading(heading, _plain(token))
                case "inline" if self._rows is not None:
                    self._rows[-1].append(_plain(token).replace("\n", " "))
                case "inline":
                    self._block(_plain(token))
                case "fence" | "code_block":
                    # The fence stays: it tells code from prose to whoever reads or quotes the passage.
                    self._block(f"```{token.info.strip()}\n{token.content}```")
                case "html_block":
                    self._block(html_text(token.content))
                case _:
                    self._structure(token)

    def _structure(self, token: Token) -> None:
        match token.type:
            case "bullet_list_open":
                self._lists.append(None)
            case "ordered_list_open":
                self._lists.append(int(token.attrGet("start") or 1))
            case "list_item_open":
                self._begin_item()
            case "bullet_list_close" | "ordered_list_close":
                self._lists.pop()
                self._marker = None
                if not self._lists:
                    self._outline.block("\n".join(self._lines))
                    self._lines = []
            case "table_open":
                self._rows = []
            case "tr_open" if self._rows is not None:
                self._rows.append([])
            case "table_close" if self._rows is not None:
                rows, self._rows = self._rows, None
                self._block("\n".join(" | ".join(row) for row in rows))

    def _begin_item(self) -> None:
        number = self._lists[-1]
        self._marker = "- " if number is None else f"{number}. "
        if number is not None:
            self._lists[-1] = number + 1

    def _block(self, text: str) -> None:
        if not self._lists:
            self._outline.block(text)
            return
        margin = _INDENT * (len(self._lists) - 1)
        for line in text.strip("\n").split("\n"):
            self._lines.append(margin + (_INDENT if self._marker is None else self._marker) + line)
            self._marker = None


def _plain(inline: Token) -> str:
    """The text of a paragraph, heading or cell. Line breaks of the source are blanks, as in print."""
    parts: list[str] = []
    for child in inline.children or ():
        match child.type:
            case "softbreak":
                parts.append(" ")
            case "hardbreak":
                parts.append("\n")
            case "html_inline":
                parts.append("\n" if child.content.lower().startswith("<br") else "")
            case _:
                parts.append(child.content)  # an image's content is its alternative text
    return "".join(parts)
