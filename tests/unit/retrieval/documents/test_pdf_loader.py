from __future__ import annotations

import io

import pypdf
import pytest
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from serve_app.errors import BadRequest
from serve_app.retrieval.documents import pdf_loader


def make_pdf(
    *pages: str, title: str | None = None, password: str | None = None, owner: str | None = None
) -> bytes:
    """A PDF whose pages have the given lines."""
    writer = pypdf.PdfWriter()
    font = DictionaryObject(
        {NameObject("/Type"): NameObject("/Font"), NameObject("/Subtype"): NameObject("/Type1"),
         NameObject("/BaseFont"): NameObject("/Helvetica")}
    )  # fmt: skip
    for lines in pages:
        page = writer.add_blank_page(300, 300)
        page[NameObject("/Resources")] = DictionaryObject(
            {NameObject("/Font"): DictionaryObject({NameObject("/F1"): font})}
        )
        stream = DecodedStreamObject()
        shown = "".join(f"({line}) Tj 0 -14 Td " for line in lines.split("\n"))
        stream.set_data(f"BT /F1 12 Tf 20 250 Td {shown}ET".encode())
        if lines:
            page[NameObject("/Contents")] = writer._add_object(stream)
    if title is not None:
        writer.add_metadata({"/Title": title})
    if password is not None:
        writer.encrypt(password, owner, algorithm="AES-256")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def test_pages_are_sections(read):
    document = read("a.pdf", make_pdf("The manta\nglides", "", "over the reef", title="Rays"))
    assert document.title == "Rays"
    assert [(section.page, section.text) for section in document.sections] == [
        (1, "The manta\nglides"),
        (3, "over the reef"),
    ]


def test_words_hyphenated_at_a_line_end_are_joined(read):
    assert (
        read("a.pdf", make_pdf("a ret-\nrieval of x - \n1-\n2")).sections[0].text
        == "a retrieval of x -\n1-\n2"
    )


@pytest.mark.parametrize("title", ["report.docx", "Microsoft Word - x", " ", "untitled"])
def test_a_title_that_a_program_left_there_is_none(read, title):
    assert read("dir/file.pdf", make_pdf("x", title=title)).title == "file"


def test_a_file_that_needs_a_password_is_refused(read):
    with pytest.raises(BadRequest, match=r"a\.pdf: it is encrypted"):
        read("a.pdf", make_pdf("secret", password="pw"))


def test_a_file_that_only_forbids_printing_is_read(read):
    assert read("a.pdf", make_pdf("open", password="", owner="boss")).sections[0].text == "open"


def test_a_scan_is_refused_with_the_reason(read):
    with pytest.raises(BadRequest, match=r"a\.pdf: it has no text layer"):
        read("a.pdf", make_pdf("", ""))


@pytest.mark.parametrize("content", [b"", b"hello", b"%PDF-1.7\n%%EOF", make_pdf("x")[:200]])
def test_a_broken_file_is_refused(read, content):
    with pytest.raises(BadRequest, match=r"a\.pdf: it is a broken PDF"):
        read("a.pdf", content)


def test_too_many_pages_are_refused(read, monkeypatch):
    monkeypatch.setattr(pdf_loader, "MAX_PDF_PAGES", 2)
    with pytest.raises(BadRequest, match="it has 3 pages; at most 2 are read"):
        read("a.pdf", make_pdf("x", "y", "z"))


def test_an_endless_page_is_refused(read, monkeypatch):
    monkeypatch.setattr(pdf_loader, "_MAX_PAGE_BYTES", 100)
    with pytest.raises(BadRequest, match="page 2 is too much to read"):
        read("a.pdf", make_pdf("x", "y" * 200))


def test_too_much_text_is_refused(read, monkeypatch):
    monkeypatch.setattr(pdf_loader, "MAX_CHARS", 100)
    with pytest.raises(BadRequest, match="more than 100 characters"):
        read("a.pdf", make_pdf("x" * 60, "y" * 60))
