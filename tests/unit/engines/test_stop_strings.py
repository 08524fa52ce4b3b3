from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.engines.stop_strings import StopStrings


def fed(stops: tuple[str, ...], pieces: list[str]) -> tuple[str, bool]:
    state, text = StopStrings(stops), ""
    for piece in pieces:
        part, is_stopped = state.feed(piece)
        text += part
        if is_stopped:
            return text, True
    return text + state.rest(), False


@pytest.mark.parametrize(
    ("stops", "pieces", "expected"),
    [
        ((), ["a", "b"], ("ab", False)),
        (("X",), ["aXb"], ("a", True)),
        (("END",), ["the E", "N", "D of"], ("the ", True)),
        (("END",), ["the E", "N", "tire"], ("the ENtire", False)),
        (("END",), ["ends in EN"], ("ends in EN", False)),
        (("bc", "abc"), ["xa", "bc"], ("x", True)),
        (("aab",), ["aa", "ab"], ("a", True)),
    ],
)
def test_text_ends_before_the_earliest_stop_string(
    stops: tuple[str, ...], pieces: list[str], expected: tuple[str, bool]
) -> None:
    assert fed(stops, pieces) == expected


def test_what_may_be_a_beginning_is_held_back() -> None:
    state = StopStrings(("END",))
    assert state.feed("an E") == ("an ", False)
    assert state.feed("x") == ("Ex", False)


@given(
    st.lists(st.text(alphabet="ab", max_size=4), max_size=8),
    st.lists(st.text(alphabet="ab", min_size=1, max_size=4), max_size=3),
)
def test_how_the_text_is_cut_into_pieces_changes_nothing(pieces: list[str], stops: list[str]) -> None:
    whole = "".join(pieces)
    ends = [at for at in (whole.find(stop) for stop in stops) if at >= 0]
    text, is_stopped = fed(tuple(stops), pieces)
    assert is_stopped == bool(ends)
    # A longer stop string that begins earlier may be completed after a shorter one has ended the text.
    assert whole.startswith(text)
    if not ends:
        assert text == whole
    else:
        assert not any(stop in text for stop in stops)
