"""YAML as kubectl reads it, with its lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.lint.yaml_text import Document, path_text, read_documents


def one(text: str) -> Document:
    (document,) = read_documents(text)
    return document


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0644", 0o644),
        ("0x1F", 31),
        ("1_000", 1000),
        ("-3", -3),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("on", True),
        ("No", False),
        ("~", None),
        ("12:30:45", "12:30:45"),
        ("2026-01-01", "2026-01-01"),
        ("'8'", "8"),
        ("500m", "500m"),
        ("089", 89.0),
    ],
)
def test_scalars(text: str, value: object) -> None:
    assert one(f"a: {text}").value == {"a": value}


def test_keys_become_text() -> None:
    assert one("{8080: a, on: b, ~: c}").value == {"8080": "a", "true": "b", "~": "c"}


def test_merges_and_anchors() -> None:
    document = one("base: &b {x: 1, y: 2}\nmine:\n  <<: *b\n  y: 3\n")
    assert document.value == {"base": {"x": 1, "y": 2}, "mine": {"x": 1, "y": 3}}
    assert document.line_of(("mine", "x")) == 1
    assert document.line_of(("mine", "y")) == 4


def test_lines_of_parts_and_of_what_is_missing() -> None:
    document = read_documents("# first\n---\na:\n  - b: 1\n  - c: 2\n---\nd: 1\n")[0]
    assert document.line_of(("a", 1, "c")) == 5
    assert document.line_of(("a", 1, "nothing")) == 5
    assert document.line_of(("nothing",)) == 3


def test_text_within_text() -> None:
    document = one("a: 1\nb: |\n  x\n  y\nc: >\n  x\n")
    assert document.text_line(("b",)) == 3
    assert document.text_line(("c",)) is None


def test_a_broken_document_hides_no_other() -> None:
    first, broken, last = read_documents("a: 1\n---\nb: [\n---\nc: 3\n")
    assert (first.value, broken.value, last.value) == ({"a": 1}, None, {"c": 3})
    assert broken.faults[0].is_fatal
    assert [first.number, broken.number, last.number] == [1, 2, 3]
    assert last.line == 5


def test_a_template_is_named_as_one() -> None:
    fault = one("{{- if .Values.x }}\na: {{ .Values.y }}\n{{- end }}\n").faults[0]
    assert "helm template" in fault.fix


def test_an_anchor_in_itself_and_one_that_explodes() -> None:
    assert "contains itself" in one("a: &a [*a]").faults[0].message
    lines = ["a: &a [x,x,x,x,x,x,x,x,x]"]
    lines += [
        f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]"
        for old, new in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    assert "parts" in one("\n".join(lines)).faults[0].message


def test_json_with_tabs() -> None:
    assert one('{\n\t"a": [1, "b"]\n}').value == {"a": [1, "b"]}


def test_nothing_in_it() -> None:
    assert read_documents("# only words\n---\n---\n") == []


def test_paths() -> None:
    assert path_text(("a", 0, "b.c/d", "e")) == 'a[0]["b.c/d"].e'


@given(st.text(alphabet="ab:-[]{}#&*!|>'\"%@ \n\t0.~<", max_size=60))
def test_any_text_is_read_or_faulted(text: str) -> None:
    for document in read_documents(text):
        assert document.value is not None or document.faults
