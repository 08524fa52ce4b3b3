from __future__ import annotations

import pytest

from serve_app.errors import BadRequest
from serve_app.messages import DocumentInput
from serve_app.retrieval.documents import load as load_module
from serve_app.retrieval.documents.load import load


def test_a_text_keeps_its_paragraphs_and_is_titled_by_its_name(read):
    document = read("notes/First notes.TXT", "one\ntwo\r\n\r\n\r\n\r\nthree\n")
    assert (document.title, document.media_type) == ("First notes", "text/plain")
    assert [section.text for section in document.sections] == ["one\ntwo\n\nthree"]


@pytest.mark.parametrize(
    ("path", "media_type", "expected"),
    [
        ("a", "text/markdown; charset=utf-8", "text/markdown"),
        ("a.md", "text/plain", "text/plain"),
        ("a.md", "application/octet-stream", "text/markdown"),
        ("a.htm", None, "text/html"),
        ("a.ndjson", None, "application/x-ndjson"),
        ("a", "Application/JSONL", "application/x-ndjson"),
        ("a", "text/tab-separated-values", "text/csv"),
    ],
)
def test_the_media_type_decides_and_else_the_suffix(path, media_type, expected):
    content = b'{"a": 1}\n{"a": 2}\n'
    assert load(DocumentInput(path, content, media_type)).media_type == expected


@pytest.mark.parametrize(
    ("path", "media_type", "kind"),
    [
        ("dir/a.doc", None, "suffix .doc"),
        ("README", None, "name without a suffix"),
        ("a.md", "image/png", "media type image/png"),
    ],
)
def test_an_unknown_kind_is_refused_with_what_is_served(path, media_type, kind):
    with pytest.raises(BadRequest) as caught:
        load(DocumentInput(path, b"x", media_type))
    assert str(caught.value).startswith(f"{path}: documents of {kind} are not read; served are .md, ")
    assert "application/pdf" in str(caught.value)


@pytest.mark.parametrize("path", ["a.md", "a.txt", "a.html", "a.jsonl", "a.csv"])
@pytest.mark.parametrize("content", [b"", b" \n\t\n", b"\xef\xbb\xbf", "\u200b\n".encode()])
def test_a_document_without_text_is_refused(read, path, content):
    with pytest.raises(BadRequest, match=f"{path}: "):
        read(path, content)


@pytest.mark.parametrize("path", ["a.md", "a.txt", "a.html", "a.json", "a.csv"])
def test_binary_under_the_name_of_text_is_refused(read, path):
    with pytest.raises(BadRequest, match=f"{path}: it is not text: it holds a NUL byte at 4"):
        read(path, b"\x89PNG\0\0")


def test_more_text_than_the_limit_is_refused(read, monkeypatch):
    monkeypatch.setattr(load_module, "MAX_CHARS", 10)
    with pytest.raises(BadRequest, match=r"a\.jsonl: it holds more than 10 characters"):
        read("a.jsonl", '"abcdef"\n"ghijkl"\n')
