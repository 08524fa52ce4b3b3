from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.agent.citations import citations, cited_numbers, guarded, safe_length, urls
from serve_app.grounding.prompt import Source

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
     "[1]", " [7]", "![", "](", "é", "<", "img ", "a", ">", "www.", "//", "]: "]
)  # fmt: skip


@settings(max_examples=1500, deadline=None)
@given(st.lists(PIECES, max_size=14))
def test_what_left_of_a_growing_text_is_always_the_beginning_of_the_whole(pieces: list[str]) -> None:
    whole = guarded("".join(pieces), 2, KNOWN)
    draft = sent = ""
    for piece in pieces:
        draft += piece
        clean = guarded(draft[: safe_length(draft)], 2, KNOWN)
        assert clean.startswith(sent), "what has left was changed"
        sent = clean
        assert whole.startswith(sent)


def test_plain_text_is_held_back_by_one_word_at_most() -> None:
    text = "A plain sentence without anything special"
    assert text[safe_length(text) :] == " special"


def test_numbers_are_told_in_the_order_of_their_first_mention() -> None:
    assert cited_numbers("B [2][1]. A [1]. `[3]`") == [2, 1]


def test_a_citation_quotes_the_sentence_nearest_to_the_one_that_cites() -> None:
    sources = (
        Source(1, "A", "Frames are joined. The deadline travels with the request. Slots are freed."),
        Source(2, "B", "Nothing in common here."),
    )
    found = citations("Requests carry their deadline [1]. Unrelated [2].", sources)
    assert [(one.number, one.quote) for one in found] == [
        (1, "The deadline travels with the request."),
        (2, None),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "The manta glides [1]. It feeds on plankton [2].",
        "The manta glides. [1] It feeds on plankton. [2]",
        "The manta glides. [1]\n\nIt feeds on plankton. [2]",
        "- The manta glides. [1]\n- It feeds on plankton. [2]",
        "**The manta glides.** [1] It feeds on plankton! [2]",
        "The manta glides.[1] It feeds on plankton.[2]",
        "As [1] says, the manta glides. [2] says that it feeds on plankton.",
    ],
)
def test_a_number_belongs_to_the_sentence_before_it(text: str) -> None:
    both = "A manta glides by its wings. It feeds on small plankton."
    found = citations(text, [Source(1, "Mantas", both), Source(2, "Food", both)])
    assert {one.number: one.quote for one in found} == {
        1: "A manta glides by its wings.",
        2: "It feeds on small plankton.",
    }


def test_several_numbers_behind_a_sentence_all_belong_to_it() -> None:
    both = "A manta glides by its wings. It feeds on small plankton."
    sources = [Source(number, "Mantas", both) for number in (1, 2, 3)]
    found = citations("The manta glides. [1] [2, 3] It feeds on plankton.", sources)
    assert [(one.number, one.quote) for one in found] == [
        (n, "A manta glides by its wings.") for n in (1, 2, 3)
    ]
