from __future__ import annotations

import pytest

from serve_app.messages import Passage
from serve_app.retrieval.neighbours import MAX_CHARS, joined
from serve_app.retrieval.places import place_of

TEXT = "One is here. Two is there.\n\nThree is new. Four is old. Five."


def passage(ordinal: int, start: int, end: int, /, **changes: object) -> Passage:
    given: dict[str, object] = {
        "id": f"p{ordinal}", "document_id": "d", "source": "s", "path": "a.md", "title": "A", "headings": ("H",),
        "text": TEXT[start:end], "ordinal": ordinal, "start": start, "end": end, "score": 1.0 / (ordinal + 1),
    }  # fmt: skip
    return Passage(**{**given, **changes})  # type: ignore[arg-type]


FIRST, SECOND, THIRD = passage(0, 0, 26), passage(1, 13, 41), passage(2, 42, 60)


def test_neighbours_are_one_without_what_they_repeat() -> None:
    (one,) = joined([SECOND, THIRD, FIRST])
    assert (one.id, one.score, one.ordinal) == ("p1", SECOND.score, 0)
    assert (one.start, one.end) == (0, 60)
    assert one.text == TEXT[:41] + "\n" + TEXT[42:60]
    (two,) = joined([passage(0, 0, 26), passage(1, 28, 41)])
    assert two.text == TEXT[:41]


@pytest.mark.parametrize(
    "other",
    [
        passage(2, 42, 60),
        passage(1, 13, 41, document_id="e"),
        passage(1, 13, 41, headings=("I",)),
        passage(1, 13, 41, page=2),
        passage(1, 13, 41, start=None, end=None),
        passage(1, 13, 41, end=MAX_CHARS + 1),
    ],
)
def test_others_stay_apart_and_in_their_order(other: Passage) -> None:
    assert joined([other, FIRST]) == [other, FIRST]


def test_a_table_that_goes_on_is_joined_under_its_own_heading() -> None:
    (one,) = joined([FIRST, passage(1, 13, 41, headings=("H", "a | b"))])
    assert one.headings == ("H",)


def test_a_joined_passage_stands_where_its_best_part_did() -> None:
    far = passage(9, 50, 60, document_id="e")
    assert [one.id for one in joined([THIRD, far, SECOND])] == ["p2", "p9"]


@pytest.mark.parametrize(
    ("uri", "page", "place"),
    [
        ("https://example.org/a.pdf", 3, "https://example.org/a.pdf#page=3"),
        ("file:///home/a.PDF", 1, "file:///home/a.PDF#page=1"),
        ("https://example.org/a.pdf#x", 3, "https://example.org/a.pdf#x"),
        ("s3://bucket/a.md", None, "s3://bucket/a.md"),
        ("https://example.org/slides.pptx", 2, "https://example.org/slides.pptx"),
        ("javascript:alert(1)", None, None),
        ("https://example.org/a b", None, None),
        ("https://[", None, None),
        ("", None, None),
    ],
)
def test_the_place_that_a_reader_opens(uri: str, page: int | None, place: str | None) -> None:
    assert place_of(passage(0, 0, 5, metadata={"uri": uri}, page=page)) == place
