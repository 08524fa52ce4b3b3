from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.agent.leaving import GrowingText, guarded, urls

KNOWN = urls(["See https://example.org/Docs/, and http://127.0.0.1:8000."])


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("It is [1].", "It is [1]."),
        ("It is [1][2].", "It is [1][2]."),
        ("It is [1, 2; 9].", "It is [1][2]."),
        ("It is [3].", "It is."),
        ("It is [0] [12] so [2].", "It is so [2]."),
        ("Call `args[0]` then `x[9]` [1].", "Call `args[0]` then `x[9]` [1]."),
        ("```py\nargs[7]\n```\nas [7] said [1].", "```py\nargs[7]\n```\nas said [1]."),
        ("A ![pixel](https://evil.example/?q=secret) here [1].", "A  here [1]."),
        ("Go to https://evil.example/x?q=1 [1].", "Go to (link removed) [1]."),
        ("Go to https://example.org/docs [1].", "Go to https://example.org/docs [1]."),
        ("[text](http://127.0.0.1:8000/)", "[text](http://127.0.0.1:8000/)"),
        ("[text](http://10.0.0.1/?a)", "[text]((link removed))"),
        ("See [RFC 3986] and [a1].", "See [RFC 3986] and [a1]."),
        ("Great![1][2]", "Great![1][2]"),
        ("A ![b][c] here [1].", "A  here [1]."),
        ("A <img src=x onerror=y> here, x <a and b> c", "A  here, x  c"),
        ("x <b>bold</b> and 1 < 2", "x <b>bold</b> and 1 < 2"),
        (
            "See www.evil.example/x, [a](//evil.example), javascript:run",
            "See (link removed) [a]((link removed)), (link removed)",
        ),
    ],
)
def test_what_may_leave(text: str, clean: str) -> None:
    assert guarded(text, 2, KNOWN) == clean


PIECES = st.sampled_from(
    ["word ", "word", " ", "\n", "[", "]", "1", "9", ", ", "`", "```", "!", "(", ")", "http://a.b/c", "https://", ".",
     "[1]", " [7]", "![", "](", "é", "<", "img ", "a", ">", "www.", "//", "]: ", "例え", "。", "http", "javascript:",
     "example.org/docs", "\u017f", "\uff11"]
)  # fmt: skip


@settings(max_examples=3000, deadline=None)
@given(st.lists(PIECES, max_size=14))
def test_what_leaves_of_a_growing_text_is_the_whole_in_its_order(pieces: list[str]) -> None:
    whole = guarded("".join(pieces), 2, KNOWN)
    text, sent = GrowingText(2, KNOWN), ""
    for piece in pieces:
        sent += text.grow(piece)
        assert whole.startswith(sent)
    assert sent + text.rest() == whole


def left_of(*pieces: str) -> list[str]:
    text = GrowingText(2, KNOWN)
    return [text.grow(piece) for piece in pieces]


def test_plain_text_is_held_back_by_one_word_at_most() -> None:
    assert left_of("A plain sentence", " without anything", " special") == [
        "A plain",
        " sentence without",
        " anything",
    ]


def test_scripts_without_spaces_leave_at_once() -> None:
    assert left_of("マンタは", "泳ぐ。", "蝠鲼", "[1]", "很大") == [
        "マンタは",
        "泳ぐ。",
        "蝠鲼",
        "",
        "[1]很大",
    ]


def test_a_link_is_held_back_whatever_script_it_goes_on_in() -> None:
    assert left_of("见 http://evil.example/例", "え", " 好") == ["见", "", " (link removed) 好"]


def test_code_in_a_fence_leaves_while_it_is_written() -> None:
    assert left_of("So:\n```py\n", "x = a[7]\n", "y = 1\n", "```\nas [7] ", "said") == [
        "So:\n```py",
        "\nx = a[7]",
        "\ny = 1",
        "\n```\nas",
        "",
    ]
