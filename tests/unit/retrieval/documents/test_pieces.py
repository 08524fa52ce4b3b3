from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.retrieval.documents.pieces import Cut, pieces


def cut(text: str, max_bytes: int = 1_000) -> list[tuple[str, Cut]]:
    return [(text[piece.start : piece.end], piece.cut) for piece in pieces(text, max_bytes)]


def test_paragraphs_lines_and_sentences():
    assert cut("One is. Two is (so.) Three\n- item\n\nNext") == [
        ("One is. ", Cut.PARAGRAPH),
        ("Two is (so.) ", Cut.SENTENCE),
        ("Three\n", Cut.SENTENCE),
        ("- item\n\n", Cut.SENTENCE),
        ("Next", Cut.PARAGRAPH),
    ]


def test_numbers_and_abbreviations_end_no_sentence():
    assert len(cut("1. Take it, e.g. with version 2.4 of No. 3 at 5 p.m. today")) == 1


def test_lines_are_cut_apart_unless_they_are_wrapped_prose():
    wrapped = "This line of a paragraph is as long as an editor makes it\nand goes on here.\n"
    assert [text for text, _ in cut(wrapped + "name: a\nname: b")] == [wrapped, "name: a\n", "name: b"]


def test_scripts_without_blanks():
    assert [text for text, _ in cut("海里有鱼。它们游泳。真的。")] == ["海里有鱼。", "它们游泳。", "真的。"]


def test_a_long_sentence_is_cut_between_words_and_a_long_word_anywhere():
    assert cut("aa bb cc dddddddd", 6) == [
        ("aa bb ", Cut.PARAGRAPH),
        ("cc ", Cut.WORD),
        ("dddddd", Cut.WORD),
        ("dd", Cut.CHARACTER),
    ]


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(4, 40))
def test_pieces_lie_end_to_end_and_are_small(text, max_bytes):
    found = cut(text, max_bytes)
    assert "".join(piece for piece, _ in found) == text
    assert all(len(piece.encode()) <= max_bytes for piece, _ in found)
