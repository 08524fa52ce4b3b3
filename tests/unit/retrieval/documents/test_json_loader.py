from __future__ import annotations

import json

import pytest

from serve_app.errors import BadRequest


def texts(document):
    return [(section.headings, section.text) for section in document.sections]


def test_a_beir_corpus_is_a_section_per_record(read):
    lines = [
        {"_id": "1", "title": "First", "text": "Some text.", "metadata": {}},
        {"_id": "2", "title": "", "text": "No title."},
    ]
    document = read("corpus.jsonl", "\n".join(map(json.dumps, lines)) + "\n\n")
    assert document.title == "corpus"
    assert document.media_type == "application/x-ndjson"
    assert texts(document) == [(("First",), "Some text."), ((), "No title.")]


def test_one_object_is_titled_by_itself(read):
    document = read("x.json", '{"title": "T", "text": "body", "year": 2020, "is_open": true, "none": null}')
    assert document.title == "T"
    assert texts(document) == [(("T",), "body\n\nyear: 2020\nis_open: true")]


def test_nested_values_become_lines(read):
    document = read("x.json", json.dumps([{"a": {"b": [1, 2, None], "c": [{"d": "x"}, ["y"]]}, "e": ""}]))
    assert texts(document) == [((), "a.b: 1, 2\na.c.0.d: x\na.c.1: y")]


def test_an_array_of_records_is_a_section_each(read):
    document = read("x.json", '[{"name": "A", "size": 1}, {"name": "B"}, "loose", {"title": 5}]')
    assert texts(document) == [(("A",), "size: 1"), ((), "B"), ((), "loose"), ((), "title: 5")]


def test_json_lines_under_the_name_of_json_are_read(read):
    assert texts(read("x.json", '{"text": "a"}\n{"text": "b"}\n')) == [((), "a"), ((), "b")]


def test_a_missing_number_is_missing(read):
    assert texts(read("x.json", '{"a": NaN, "b": 1}')) == [((), "b: 1")]


def test_escaped_surrogates_and_nul_cannot_enter(read):
    text = read("x.json", r'{"text": "a\ud800\u0000b"}').sections[0].text
    assert text == "ab"


@pytest.mark.parametrize(
    ("path", "content", "fault"),
    [
        ("x.json", '{"a": ', r"x\.json: it is not JSON: .* at line 1, column 7"),
        ("x.jsonl", '{"a": 1}\n\n{oops}\n', r"x\.jsonl: line 3 is not JSON"),
        ("x.json", "[" * 200_000, "nested deeper than 64 levels"),
        ("x.json", "[" * 200 + "]" * 200, "nested deeper than 64 levels"),
        ("x.json", '{"a": ' * 300 + "1" + "}" * 300, "nested deeper than 64 levels"),
        ("x.json", "9" * 10_000, "thousands of digits"),
        ("x.json", "{}", "holds no text"),
        ("x.json", "[]", "holds no text"),
    ],
)
def test_what_cannot_be_read_is_refused(read, path, content, fault):
    with pytest.raises(BadRequest, match=fault):
        read(path, content)
