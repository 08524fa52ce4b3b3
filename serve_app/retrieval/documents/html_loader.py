"""HTML: what a reader of the page sees of its main part, by headings.

Scripts, styles, navigation, forms' controls, hidden elements and the head (but for the title) are no
text. Where the page has a `main` element, only that is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

from selectolax.lexbor import LexborHTMLParser, LexborNode

from serve_app.retrieval.documents.base import Parsed, Unreadable, dates
from serve_app.retrieval.documents.outline import Outline
from serve_app.retrieval.documents.plain_text import decode


def _names(names: str) -> frozenset[str]:
    return frozenset(names.split())


_SKIPPED = _names(
    "script style nav head noscript template svg math iframe object canvas audio video button select textarea"
)
_BLOCKS = _names(
    "address article aside blockquote body caption dd details dialog div dl dt fieldset figcaption figure footer"
    " form header hgroup hr html li main ol p pre section summary table tbody td tfoot th thead tr ul"
)
_CELLS = frozenset(("td", "th"))
_INSIDE_CELLS = frozenset(("p", "div"))  # in a table of data they only part words
_HEADINGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))
_STRUCTURE = _HEADINGS | {"table", "ul", "ol", "pre"}
_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?([\w.:-]{1,40})", re.IGNORECASE)
_SPACES = re.compile(r"[ \t\r\n\f]+")
_HIDING = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)

# Building a tree by the HTML standard is quadratic in open elements, and worse in formatting elements
# that are never closed: they are built again in every paragraph. Measured: 100,000 nested <div> take
# 12 s, 3,000 open <font> of different attributes make 4.5 million nodes. Browsers stop at 512 levels.
_MAX_DEPTH = 2_000
_MAX_REBUILT_BYTES = 100_000_000
_MAX_METAS = 200
_MAX_INDENT = 20  # levels of lists; each item is a line with as many blanks before it
_FORMATTING = _names("a b big code em font i nobr s small strike strong tt u")
_UNNESTED = _names(  # elements without content, and those that the next one of their kind closes
    "area base br col embed hr img input link meta param source track wbr"
    " p li dt dd option optgroup tr td th thead tbody tfoot colgroup caption html head body"
)
_RAW = re.compile(
    r"<!--(?:.*?-->|.*)|<(script|style|textarea|title|xmp|iframe|noembed|noframes)\b(?:.*?</\1|.*)",
    re.DOTALL | re.IGNORECASE,
)
_TAG = re.compile(r"<(/?)([a-zA-Z][^\s/>]*)(?:[^>=]|=\s*+(?:\"[^\"]*\"|'[^']*')?)*+")


def read_html(content: bytes) -> Parsed:
    declared = _CHARSET.search(content[:2048])
    text = decode(content, declared[1].decode("ascii", "replace") if declared else None)
    outline = Outline()
    tree = _read(text, outline)
    title = tree.css_first("head > title")
    title_text = title.text().strip() if title is not None else ""
    found = dates(
        _date(tree, "article:published_time", "date"), _date(tree, "article:modified_time", "last-modified")
    )
    return Parsed(title_text or outline.first_heading, outline.sections(), found)


def _date(tree: LexborHTMLParser, *names: str) -> datetime | None:
    """The date of the first `meta` element of these names (Open Graph's, and the usual ones)."""
    for meta in tree.css("head > meta")[:_MAX_METAS]:
        attributes = meta.attributes
        if (attributes.get("property") or attributes.get("name") or "").lower() in names:
            try:
                return datetime.fromisoformat((attributes.get("content") or "").strip())
            except ValueError:
                continue
    return None


def html_text(fragment: str) -> str:
    """The text of a piece of HTML inside another format."""
    outline = Outline()
    _read(fragment, outline)
    return "\n\n".join("\n".join((*section.headings, section.text)) for section in outline.sections())


def _read(text: str, outline: Outline) -> LexborHTMLParser:
    _refuse_bombs(text)
    tree = LexborHTMLParser(text)
    mains = tree.css("main")
    start = mains[0] if len(mains) == 1 and mains[0].text().strip() else tree.body
    if start is not None:
        _Walk(outline).run(start)
    return tree


def _refuse_bombs(text: str) -> None:
    depth = num_rebuilt = 0
    open_counts: dict[str, int] = {}
    open_bytes: list[tuple[str, int]] = []  # formatting elements: name, size of the tag
    num_open_bytes = 0
    for tag in _TAG.finditer(_RAW.sub("", text)):
        name = tag[2].lower()
        if name in _UNNESTED:
            num_rebuilt += num_open_bytes
        elif not tag[1]:
            depth += 1
            open_counts[name] = open_counts.get(name, 0) + 1
            if name in _FORMATTING:
                open_bytes.append((name, len(tag[0])))
                num_open_bytes += len(tag[0])
            num_rebuilt += num_open_bytes
        elif open_counts.get(name, 0):
            depth -= 1
            open_counts[name] -= 1
            if name in _FORMATTING:
                last = next(i for i in range(len(open_bytes) - 1, -1, -1) if open_bytes[i][0] == name)
                num_open_bytes -= open_bytes.pop(last)[1]
        if depth > _MAX_DEPTH:
            raise Unreadable(f"its elements are nested deeper than {_MAX_DEPTH:,} levels")
        if num_rebuilt > _MAX_REBUILT_BYTES:
            raise Unreadable("its formatting elements (b, i, font, a ...) are opened and never closed")


class _Walk:
    """Reads the nodes in order into an outline."""

    def __init__(self, outline: Outline) -> None:
        self._outline = outline
        self._line: list[str] = []  # text of the open line
        self._lines: list[str] = []  # of the open block: a list, a table, code; one line for a paragraph
        self._num_holding = 0  # open lists and tables: their parts are lines of one block
        self._num_pre = 0
        self._marker = ""  # of the open line: a list item's
        self._items: list[int | None] = []  # the number of the next item of each open list; None: bullets
        self._layout_tables: set[int] = set()
        self._tables: list[bool] = []  # of each open table: does it lay out the page?
        self._num_cells = 0  # of the open row

    def run(self, start: LexborNode) -> None:
        self._layout_tables = _layout_tables(start)
        skipped: int | None = None
        for node, is_entering in _steps(start):
            if skipped is None and is_entering and not self._enter(node):
                skipped = node.mem_id
            elif not is_entering:
                if skipped is None:
                    self._leave(node)
                elif node.mem_id == skipped:
                    skipped = None
        self._end_block()

    def _enter(self, node: LexborNode) -> bool:
        """Take the node in; False leaves out what is below it."""
        tag = node.tag or ""
        if tag == "-text":
            self._text(node.text_content or "")
        elif tag in _SKIPPED or tag.startswith(("-", "!")) or _is_hidden(node):
            return False
        elif tag in _HEADINGS:
            self._heading(int(tag[1]), node)
            return False
        elif tag == "br" and not self._is_data_table():
            self._end_line()
        elif tag == "br":
            self._line.append(" ")
        elif tag == "img":
            self._text(node.attributes.get("alt") or "")
        elif tag in _BLOCKS:
            self._open(tag, node)
        return True

    def _open(self, tag: str, node: LexborNode) -> None:
        if tag in _CELLS and self._is_data_table():
            if self._num_cells:
                self._line.append(" | ")
            self._num_cells += 1
        elif tag in _INSIDE_CELLS and self._is_data_table():
            self._line.append(" ")
        else:
            self._end_line()
            self._open_block(tag, node)

    def _open_block(self, tag: str, node: LexborNode) -> None:
        if tag == "table":
            self._tables.append(node.mem_id in self._layout_tables)
        if tag in ("ul", "ol", "dl") or (tag == "table" and not self._tables[-1]):
            if not self._num_holding:
                self._end_block()
            self._num_holding += 1
        if tag == "ul":
            self._items.append(None)
        elif tag == "ol":
            start = node.attributes.get("start") or ""
            self._items.append(int(start) if start.isdecimal() and len(start) < 10 else 1)
        elif tag == "tr":
            self._num_cells = 0
        elif tag == "li" and self._items:
            number = self._items[-1]
            self._marker = "  " * min(len(self._items) - 1, _MAX_INDENT) + (
                "- " if number is None else f"{number}. "
            )
            if number is not None:
                self._items[-1] = number + 1
        else:
            self._num_pre += tag == "pre"
            self._end_block()

    def _leave(self, node: LexborNode) -> None:
        tag = node.tag or ""
        if tag not in _BLOCKS:
            return
        if tag in _CELLS | _INSIDE_CELLS and self._is_data_table():
            self._line.append(" ")
            return
        self._end_line()
        if tag in ("ul", "ol", "dl") or (tag == "table" and not self._tables.pop()):
            self._num_holding -= 1
        if tag in ("ul", "ol"):
            self._items.pop()
            self._marker = ""
        self._num_pre -= tag == "pre"
        self._end_block()

    def _is_data_table(self) -> bool:
        return bool(self._tables) and not self._tables[-1]

    def _heading(self, level: int, node: LexborNode) -> None:
        text = _SPACES.sub(" ", node.text(deep=True)).rstrip(" ¶")  # the sign is a generator's link to itself
        if self._num_holding:  # a heading inside a cell or an item structures nothing
            self._text(text)
            self._end_line()
            return
        self._end_block()
        self._outline.heading(level, text)

    def _text(self, text: str) -> None:
        if self._num_pre:
            first, *more = text.split("\n")
            self._line.append(first)
            for line in more:
                self._end_line(keep_blank=True)
                self._line.append(line)
        else:
            self._line.append(_SPACES.sub(" ", text))

    def _end_line(self, *, keep_blank: bool = False) -> None:
        line = "".join(self._line)
        self._line = []
        if not self._num_pre:
            line = _SPACES.sub(" ", line).strip()
        if line.strip() or keep_blank:
            self._lines.append(self._marker + line)
            self._marker = ""

    def _end_block(self) -> None:
        self._end_line()
        if not self._num_holding:
            self._outline.block("\n".join(self._lines))
            self._lines = []


def _layout_tables(start: LexborNode) -> set[int]:
    """Ids of the tables that are the page's frame, not data: with headings, lists, code or tables inside."""
    found: set[int] = set()
    open_tables: list[int] = []
    for node, is_entering in _steps(start):
        tag = node.tag or ""
        if tag in _STRUCTURE and is_entering and open_tables:
            found.add(open_tables[-1])
        if tag == "table" and is_entering:
            open_tables.append(node.mem_id)
        elif tag == "table":
            open_tables.pop()
    return found


def _steps(start: LexborNode) -> Iterator[tuple[LexborNode, bool]]:
    """Every node below and with `start`, when it is entered and when it is left; without recursion."""
    node, last = start, start.mem_id  # `==` of nodes compares their serialised HTML
    while True:
        yield node, True
        if (child := node.child) is not None:
            node = child
            continue
        yield node, False
        while node.mem_id != last and node.next is None:
            node = node.parent  # type: ignore[assignment]  # below `start` there is always one
            yield node, False
        if node.mem_id == last:
            return
        assert node.next is not None
        node = node.next


def _is_hidden(node: LexborNode) -> bool:
    attributes = node.attributes
    return "hidden" in attributes or bool(_HIDING.search(attributes.get("style") or ""))
