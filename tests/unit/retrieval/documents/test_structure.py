from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serve_app.retrieval.documents.structure import Block, blocks


def shown(text: str) -> list[tuple[str, str]]:
    return [(text[one.start : one.end], one.header) for one in blocks(text)]


def test_fences_and_tables_are_found() -> None:
    text = "Prose.\n\n```sh\nmake\n\na | b\n```\n\nName | Age\nAnn | 3\nBob | 4\n\nOne | two.\nMore prose."
    assert shown(text) == [("```sh\nmake\n\na | b\n```", ""), ("Name | Age\nAnn | 3\nBob | 4", "Name | Age")]


def test_rows_of_other_widths_begin_another_table() -> None:
    assert shown("a | b\n1 | 2\n3 | 4\nx | y | z\n1 | 2 | 3\n4 | 5 | 6") == [
        ("a | b\n1 | 2\n3 | 4", "a | b"),
        ("x | y | z\n1 | 2 | 3\n4 | 5 | 6", "x | y | z"),
    ]


def test_a_fence_that_never_ends_is_none() -> None:
    assert blocks("```\na\nb") == []
    assert blocks("plain") == []


@given(st.lists(st.sampled_from(["```", "```py", "a | b", "a | b | c", "x", "", " | "]), max_size=30))
def test_blocks_are_apart_and_in_order(lines: list[str]) -> None:
    text = "\n".join(lines)
    found = blocks(text)
    ends = [0, *(one.end for one in found)]
    assert all(one.start >= end for one, end in zip(found, ends, strict=False))
    assert all(isinstance(one, Block) and one.end <= len(text) and one.start < one.end for one in found)
