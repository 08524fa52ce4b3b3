"""Any bytes under any name are read, or refused by one kind of error that names the document."""

from __future__ import annotations

import contextlib
import io
import json
from functools import cache

import docx
import pptx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PdfWriter

from serve_app.errors import BadRequest
from serve_app.messages import DocumentInput
from serve_app.retrieval.documents import base
from serve_app.retrieval.documents.load import SUFFIXES, load

# One name for each format.
PATHS = [f"x{suffix}" for suffix in {media_type: suffix for suffix, media_type in SUFFIXES.items()}.values()]


@cache
def whole(suffix: str) -> bytes:
    """A document of that format that can be read."""
    stream = io.BytesIO()
    match suffix:
        case ".docx":
            word = docx.Document()
            word.add_heading("A", 1)
            word.add_paragraph("text")
            word.save(stream)
        case ".pptx":
            slides = pptx.Presentation()
            slides.slides.add_slide(slides.slide_layouts[0]).shapes.title.text = "A"
            slides.save(stream)
        case ".pdf":
            writer = PdfWriter()
            writer.add_blank_page(100, 100)
            writer.write(stream)
        case ".json" | ".jsonl" | ".ndjson":
            return b'{"title": "A", "text": "x", "n": [1, {"a": null}]}\n'
        case ".csv" | ".tsv":
            return b'a,b\n1,"x\ny"\n'
        case ".html" | ".htm" | ".xhtml":
            return b"<html><head><title>A</title></head><body><h1>A</h1><table><tr><td>x</table><p>y"
        case _:
            front = b"---\ntitle: A\ndate: 2026-01-01\n---\n# A\n\n- x\n\n"
            return front + b"| a | b |\n|---|---|\n| 1 | 2 |\n\n```\nc\n```\n"
    return stream.getvalue()


def check(path: str, content: bytes, media_type: str | None = None) -> None:
    try:
        found = load(DocumentInput(path, content, media_type))
    except BadRequest as exc:
        refusal = exc.message
    else:
        assert found.sections
        found.text.encode()  # no halves of characters
        return
    assert refusal.startswith(f"{path}: ")


@given(st.sampled_from(PATHS), st.binary(max_size=300))
@settings(max_examples=150)
def test_any_bytes_under_any_name(path: str, content: bytes) -> None:
    check(path, content)


@given(st.data(), st.sampled_from(list(SUFFIXES)), st.binary(max_size=12))
@settings(max_examples=150)
def test_a_document_with_a_place_that_was_overwritten(
    data: st.DataObject, suffix: str, put_in: bytes
) -> None:
    content = whole(suffix)
    at = data.draw(st.integers(0, len(content)))
    check(f"x{suffix}", content[:at] + put_in + content[at + len(put_in) :])
    check(f"x{suffix}", content[:at])


@given(st.sampled_from(PATHS), st.sampled_from(list(SUFFIXES)))
def test_a_document_under_the_name_of_another(path: str, suffix: str) -> None:
    check(path, whole(suffix))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "content",
    [
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b"<div>" * 50_000,
        b"<b>" * 3_000 + b"<p>" * 3_000,
        b"> " * 50_000,
        b"x" * 1_000_000,
        b"| a " * 100_000,
        b"a\x00b",
        "Grüße".encode() + b"\n" + "Grüße".encode("cp1252"),
        "text".encode("utf-16"),
        b"\xff\xfe\x00",
        json.dumps("\ud800").encode(),
        b"1" * 10_000,
        b"%PDF-1.7\n" + b"1 0 obj\n<< /Type /Page >>\n" * 100,
        b"PK\x03\x04" + b"\x00" * 100,
    ],
    ids=range(15),
)
def test_inputs_that_are_made_to_hurt(path: str, content: bytes) -> None:
    check(path, content)


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("x.csv", "h" * 100_000 + "\n" + "1\n" * 1_000),
        ("x.json", json.dumps({"k" * 100_000: {str(number): 1 for number in range(1_000)}})),
        ("x.jsonl", json.dumps([{"k" * 100_000: {str(number): 1 for number in range(1_000)}}])),
    ],
)
def test_what_is_said_before_each_value_makes_no_text_without_end(
    monkeypatch: pytest.MonkeyPatch, path: str, content: str
) -> None:
    monkeypatch.setattr(base, "MAX_CHARS", 1_000_000)
    with pytest.raises(BadRequest, match="it holds more than 1,000,000 characters"):
        load(DocumentInput(path, content.encode()))


def test_items_of_lists_in_lists_in_lists_are_not_mostly_indent() -> None:
    content = "<ul>" * 1_500 + "<li>x" * 1_000
    assert len(load(DocumentInput("x.html", content.encode())).text) < 60 * 1_000


def test_a_heading_of_a_book_is_cut_for_each_of_its_sections() -> None:
    content = f"# {'y' * 1_000_000}\n\n" + "## a\n\nb\n\n" * 500
    sections = load(DocumentInput("x.md", content.encode())).sections
    assert {len(one.headings[0]) for one in sections} == {300}


def test_a_declared_type_decides_whatever_the_bytes_are() -> None:
    with contextlib.suppress(BadRequest):
        check("x.md", whole(".docx"), "application/pdf")
