"""Word documents and presentations: what is read of them, and what is refused."""

from __future__ import annotations

import io
import zipfile
from datetime import datetime
from typing import Any

import docx
import pptx
import pytest
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls
from pptx.util import Inches

from serve_app.errors import BadRequest
from serve_app.retrieval.documents import office_package
from serve_app.retrieval.documents.load import load  # noqa: F401 (patched formats are loaded through it)


def saved(document: Any) -> bytes:
    stream = io.BytesIO()
    document.save(stream)
    return stream.getvalue()


def handbook() -> Any:
    made = docx.Document()
    made.core_properties.title = "The handbook"
    made.core_properties.created = datetime(2025, 1, 2, 3, 4, 5)  # noqa: DTZ001 (UTC, which the format implies)
    made.core_properties.modified = datetime(2026, 1, 2, 3, 4, 5)  # noqa: DTZ001
    made.add_paragraph("Before all.")
    made.add_heading("Leave", 1)
    made.add_paragraph("Twenty-five days a year.")
    made.add_paragraph("ask early", style="List Bullet")
    made.add_paragraph("tell the team", style="List Number")
    made.add_heading("Abroad", 2)
    table = made.add_table(2, 2)
    for cell, text in zip(
        [*table.rows[0].cells, *table.rows[1].cells], ("Land", "Days", "Peru", "3"), strict=True
    ):
        cell.text = text
    made.add_heading("Pay", 1)
    made.add_paragraph("On the last day.")
    return made


def presentation() -> Any:
    made = pptx.Presentation()
    made.core_properties.title = "Plans"
    slide = made.slides.add_slide(made.slide_layouts[1])
    slide.shapes.title.text = "Where we are"
    slide.placeholders[1].text = "Twelve seas"
    slide.notes_slide.notes_text_frame.text = "Say it slowly."
    second = made.slides.add_slide(made.slide_layouts[6])
    group = second.shapes.add_group_shape()
    group.shapes.add_textbox(0, 0, Inches(1), Inches(1)).text_frame.text = "In a group"
    cells = second.shapes.add_table(1, 2, 0, 0, Inches(2), Inches(1)).table.rows[0].cells
    cells[0].text, cells[1].text = "Sea", "Depth"
    made.slides.add_slide(made.slide_layouts[5]).shapes.title.text = "Only a title"
    return made


def test_a_word_document_is_read_by_its_headings(read) -> None:
    document = read("h.docx", saved(handbook()))
    assert document.title == "The handbook"
    assert [(one.headings, one.text) for one in document.sections] == [
        ((), "Before all."),
        (("Leave",), "Twenty-five days a year.\n\n- ask early\n- tell the team"),
        (("Leave", "Abroad"), "Land | Days\nPeru | 3"),
        (("Pay",), "On the last day."),
    ]
    assert document.dates == {
        "created_at": "2025-01-02T03:04:05+00:00", "modified_at": "2026-01-02T03:04:05+00:00",
    }  # fmt: skip


def test_inserted_text_is_read_and_deleted_text_is_not(read) -> None:
    made = docx.Document()
    made.add_paragraph("Kept").add_run(" and")
    run = f"<w:r {nsdecls('w')}><w:t> new</w:t></w:r>"
    old = f"<w:r {nsdecls('w')}><w:delText> old</w:delText></w:r>"
    element = made.paragraphs[0]._p
    element.append(parse_xml(f"<w:ins {nsdecls('w')} w:id='1' w:author='a'>{run}</w:ins>"))
    element.append(parse_xml(f"<w:del {nsdecls('w')} w:id='2' w:author='a'>{old}</w:del>"))
    made.element.body.insert(
        0, parse_xml(f"<w:sdt {nsdecls('w')}><w:sdtContent><w:p>{run}</w:p></w:sdtContent></w:sdt>")
    )
    assert [one.text for one in read("h.docx", saved(made)).sections] == [" new\n\nKept and new".strip()]


def test_a_presentation_is_read_by_its_slides(read) -> None:
    document = read("p.pptx", saved(presentation()))
    assert document.title == "Plans"
    assert [(one.page, one.headings, one.text) for one in document.sections] == [
        (1, ("Where we are",), "Twelve seas\n\nNotes: Say it slowly."),
        (2, (), "In a group\n\nSea | Depth"),
        (3, (), "Only a title"),
    ]


def test_a_document_under_the_name_of_another_is_refused(read) -> None:
    for path, content, kind in (
        ("a.pptx", saved(handbook()), "a Word document, which its name does not say"),
        ("a.docx", saved(presentation()), "a presentation, which its name does not say"),
        ("a.md", saved(handbook()), "by its first bytes it is a ZIP archive"),
        ("a.txt", b"%PDF-1.7 text", "by its first bytes it is a PDF, not text/plain"),
        ("a.html", b"{\\rtf1 text}", "Rich Text Format, not text/html"),
        ("a.docx", b"Just text.", "it is a broken Office document: File is not a zip file"),
        ("a.docx", office_package.OLE + b"\0" * 100, "it is encrypted, or of the binary formats before 2007"),
    ):
        with pytest.raises(BadRequest, match=f"{path}: .*{kind}"):
            read(path, content)


def zipped(**parts: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return stream.getvalue()


def test_bombs_are_refused_before_they_are_opened(read, monkeypatch) -> None:
    bomb = zipped(
        **{"[Content_Types].xml": b"wordprocessingml.document.main", "word/x.xml": b" " * 20_000_000}
    )
    with pytest.raises(BadRequest, match=r"b\.docx: it unpacks to [\d,]+ times its size, as only bombs do"):
        read("b.docx", bomb)
    monkeypatch.setattr(office_package, "MAX_PART_BYTES", 1000)
    with pytest.raises(BadRequest, match=r"it unpacks to 20,000,030 bytes, 20,000,000 of them in one part"):
        read("b.docx", bomb)
    hidden = zipped(**{"[Content_Types].xml": b"wordprocessingml.document.main", "word/x.png": b"x" * 2000})
    with pytest.raises(BadRequest, match="2,000 of them in one part"):  # its type says that it is XML
        read("b.docx", hidden)
    monkeypatch.setattr(office_package, "MAX_PARTS", 1)
    with pytest.raises(BadRequest, match="it has 2 parts; at most 1 are read"):
        read("b.docx", bomb)


def test_entities_are_not_expanded(read) -> None:
    parts = {}
    with zipfile.ZipFile(io.BytesIO(saved(handbook()))) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    xml = parts["word/document.xml"].decode()
    declared = '<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>'
    head, _, rest = xml.partition("?>")
    parts["word/document.xml"] = f"{head}?>{declared}{rest.replace('Before all.', 'x&b;y')}".encode()
    assert "aaaa" not in read("h.docx", zipped(**parts)).text
