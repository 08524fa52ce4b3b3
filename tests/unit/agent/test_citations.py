from __future__ import annotations

import pytest

from serve_app.agent.citations import citations, cited_numbers
from serve_app.grounding.prompt import Source


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
