from __future__ import annotations

import pytest

from serve_app.grounding.sentences import Kind, sentences


def texts(text: str) -> list[str]:
    return [sentence.text for sentence in sentences(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One is here. Two is there! Is three? Yes.", ["One is here.", "Two is there!", "Is three?", "Yes."]),
        ("It is 3.5 times, e.g. Five of six. Done.", ["It is 3.5 times, e.g. Five of six.", "Done."]),
        ("Smith et al. Found it. J. Doe did not.", ["Smith et al. Found it.", "J. Doe did not."]),
        ('He said "no." Then he left.', ['He said "no."', "Then he left."]),
        ("Wrapped\nover lines. Next.", ["Wrapped over lines.", "Next."]),
        ("`make run` starts it. `make test` tests it.", ["`make run` starts it.", "`make test` tests it."]),
        ("no end", ["no end"]),
        ("Passage. A chunk of text. Slot. A place.", ["Passage. A chunk of text.", "Slot. A place."]),
        ("これは文です。次の文です。", ["これは文です。", "次の文です。"]),
        ("", []),
    ],
)
def test_paragraphs_are_split(text: str, expected: list[str]) -> None:
    assert texts(text) == expected


def test_markdown_is_told_apart() -> None:
    text = (
        "# Title\n\nProse here.\n\n- first item\n  goes on\n- second item\n\n"
        "| a | b |\n|---|---|\n| 1 | 2 |\n\n    code()\n"
    )
    assert [(one.kind, one.text) for one in sentences(text)] == [
        (Kind.HEADING, "Title"),
        (Kind.PROSE, "Prose here."),
        (Kind.ITEM, "first item goes on"),
        (Kind.ITEM, "second item"),
        (Kind.HEADING, "a | b"),
        (Kind.TABLE, "1 | 2"),
        (Kind.CODE, "    code()"),
    ]


def test_code_stays_with_the_sentence_that_introduces_it() -> None:
    text = "Start it first.\nThen ask with:\n\n```\nmanta ask\n```\n\nIt answers."
    assert texts(text) == ["Start it first.", "Then ask with:\n```\nmanta ask\n```", "It answers."]


def test_code_that_the_chunker_cut_is_closed() -> None:
    assert texts("```py\nx = 1. Y = 2") == ["```py\nx = 1. Y = 2\n```"]


def test_rows_without_outer_bars_are_rows() -> None:
    found = sentences("Some text here.\nname | meaning\nport | where it listens\nalone | not a head")
    assert [(one.kind, one.text) for one in found[1:]] == [
        (Kind.HEADING, "name | meaning"),
        (Kind.TABLE, "port | where it listens"),
        (Kind.TABLE, "alone | not a head"),
    ]
    assert sentences("port | where it listens")[0].kind is Kind.TABLE


def test_positions_count_from_the_start() -> None:
    assert [one.position for one in sentences("A is here. B is there. C is gone.")] == [0, 1, 2]
