"""Presentations: a section per slide under its title, so that a citation names the slide.

Text of shapes, groups and tables in the slide's own order, and the speaker's notes after it. Pictures and
charts are no text.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pptx

from serve_app.retrieval.documents.base import MAX_PDF_PAGES, Parsed, Section, Unreadable, dates
from serve_app.retrieval.documents.office_package import check_package

_MAX_DEPTH = 20  # of groups inside groups


def read_pptx(content: bytes) -> Parsed:
    check_package(content, "presentationml.presentation.main")
    try:
        return _read(content)
    except Unreadable:
        raise
    except (RecursionError, MemoryError) as exc:
        raise Unreadable("it is a broken presentation: its shapes are nested without end") from exc
    except Exception as exc:  # a parser of hostile bytes fails in any way
        fault = " ".join(str(exc).split())[:200] or type(exc).__name__
        raise Unreadable(f"it is a broken presentation: {fault}") from exc


def _read(content: bytes) -> Parsed:
    presentation = pptx.Presentation(io.BytesIO(content))
    num_slides = len(presentation.slides)
    if num_slides > MAX_PDF_PAGES:
        raise Unreadable(f"it has {num_slides:,} slides; at most {MAX_PDF_PAGES:,} are read")
    slides = tuple(_section(number, slide) for number, slide in enumerate(presentation.slides, start=1))
    properties = presentation.core_properties
    # What PowerPoint calls a presentation that nobody named.
    title = None if properties.title == "PowerPoint Presentation" else properties.title
    first = next((one.headings[0] for one in slides if one.headings), None)
    return Parsed(title or first, slides, dates(properties.created, properties.modified))


def _section(number: int, slide: Any) -> Section:
    own = slide.shapes.title
    heading = " ".join(own.text_frame.text.split()) if own is not None else ""
    title_id = own.shape_id if own is not None else None
    blocks = [text for shape in slide.shapes if shape.shape_id != title_id for text in _texts(shape, 0)]
    notes = slide.notes_slide.notes_text_frame if slide.has_notes_slide else None
    if notes is not None and notes.text.strip():
        blocks.append(f"Notes: {notes.text.strip()}")
    text = "\n\n".join(blocks)
    # A slide that has nothing but its title is its title.
    return Section((heading,), text, number) if heading and text else Section((), heading or text, number)


def _texts(shape: Any, depth: int) -> Iterator[str]:
    if depth > _MAX_DEPTH:
        raise Unreadable(f"its shapes are grouped deeper than {_MAX_DEPTH} levels")
    if getattr(shape, "has_table", False):
        rows = (" | ".join(" ".join(cell.text.split()) for cell in row.cells) for row in shape.table.rows)
        yield "\n".join(row for row in rows if row.strip(" |"))
    elif getattr(shape, "has_text_frame", False):
        lines = (
            f"{'  ' * one.level}- {one.text}" if one.level else one.text
            for one in shape.text_frame.paragraphs
        )
        if text := "\n".join(line.replace("\v", "\n") for line in lines).strip():
            yield text
    else:
        for inner in getattr(shape, "shapes", ()):
            yield from _texts(inner, depth + 1)
