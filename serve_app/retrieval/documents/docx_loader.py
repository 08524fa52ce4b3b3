"""Word documents: sections by heading, tables by rows, lists by items.

Text that was inserted under change tracking is read, deleted text is not. Comments, footnotes, headers
and footers are no part of the text's order and are left out.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any

import docx
from docx.oxml.ns import qn

from serve_app.retrieval.documents.base import Parsed, Unreadable, dates
from serve_app.retrieval.documents.office_package import check_package
from serve_app.retrieval.documents.outline import Outline

_HEADING = re.compile(r"heading ([1-9])", re.IGNORECASE)
_BREAKS = {qn("w:tab"): "\t", qn("w:br"): "\n", qn("w:cr"): "\n", qn("w:noBreakHyphen"): "-"}
# Runs of these are of no one who reads the text: fields' codes, and the second version of a drawing.
_LEFT_OUT = frozenset(("{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback", qn("w:del"),
                       qn("w:pPr"), qn("w:rPr"), qn("w:instrText")))  # fmt: skip
_P, _TBL, _SDT, _TR, _TC, _T = (qn(f"w:{name}") for name in ("p", "tbl", "sdt", "tr", "tc", "t"))


def read_docx(content: bytes) -> Parsed:
    check_package(content, "wordprocessingml.document.main")
    try:
        document = docx.Document(io.BytesIO(content))
        reader = _Reader({one.style_id: one.name or "" for one in document.styles})
        reader.read(document.element.body)
        properties = document.core_properties
        title, found = properties.title, dates(properties.created, properties.modified)
    except Unreadable:
        raise
    except (RecursionError, MemoryError) as exc:
        raise Unreadable("it is a broken Word document: its elements are nested without end") from exc
    except Exception as exc:  # a parser of hostile bytes fails in any way
        fault = " ".join(str(exc).split())[:200] or type(exc).__name__
        raise Unreadable(f"it is a broken Word document: {fault}") from exc
    return Parsed(title or reader.title or reader.outline.first_heading, reader.sections(), found)


class _Reader:
    """Reads a body's elements in order into an outline."""

    def __init__(self, style_names: dict[str, str]) -> None:
        self.outline = Outline()
        self.title: str | None = None  # of the paragraph that is styled so
        self._style_names = style_names
        self._items: list[str] = []  # of the open list

    def read(self, body: Any) -> None:
        for element in body:
            if element.tag == _P:
                self._paragraph(element)
            elif element.tag == _TBL:
                self._end_list()
                self.outline.block("\n".join(_rows(element)))
            elif element.tag == _SDT and (inner := element.find(qn("w:sdtContent"))) is not None:
                self.read(inner)

    def sections(self) -> Any:
        self._end_list()
        return self.outline.sections()

    def _paragraph(self, element: Any) -> None:
        text = "".join(_text(element)).strip()
        properties = element.find(qn("w:pPr"))
        style = self._style(properties)
        if (heading := _HEADING.fullmatch(style)) is not None:
            self._end_list()
            self.outline.heading(int(heading[1]), " ".join(text.split()))
        elif style.lower() == "title":
            self._end_list()
            self.title = self.title or text
            self.outline.block(text)
        elif text and (style.startswith("List") or _is_numbered(properties)):
            self._items.append(f"{'  ' * _depth(properties)}- {text}")
        elif text:
            self._end_list()
            self.outline.block(text)

    def _style(self, properties: Any) -> str:
        style = properties.find(qn("w:pStyle")) if properties is not None else None
        return self._style_names.get(style.get(qn("w:val")) or "", "") if style is not None else ""

    def _end_list(self) -> None:
        self.outline.block("\n".join(self._items))
        self._items = []


def _text(element: Any) -> Iterator[str]:
    for child in element:
        if child.tag == _T:
            yield child.text or ""
        elif child.tag in _BREAKS:
            yield _BREAKS[child.tag]
        elif child.tag not in _LEFT_OUT:
            yield from _text(child)
            if child.tag == _P:  # of a text box
                yield "\n"


def _rows(table: Any) -> Iterator[str]:
    for row in table.iter(_TR):
        if next(row.iterancestors(_TBL)) is table:
            cells = [" ".join("".join(_text(cell)).split()) for cell in row.iter(_TC)
                     if next(cell.iterancestors(_TR)) is row]  # fmt: skip
            if any(cells):
                yield " | ".join(cells)


def _is_numbered(properties: Any) -> bool:
    return properties is not None and properties.find(qn("w:numPr")) is not None


def _depth(properties: Any) -> int:
    level = properties.find(f"{qn('w:numPr')}/{qn('w:ilvl')}") if properties is not None else None
    given = (level.get(qn("w:val")) or "") if level is not None else ""
    return int(given) if given.isdecimal() and len(given) < 2 else 0
