from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.client import events
from benchmarks.client.events import EventSplitter, EventTooLarge


def test_one_whole_event_in_a_read() -> None:
    assert EventSplitter().feed(b'data: {"a": 1}\n\n') == [("", b'{"a": 1}')]


def test_comments_and_unknown_fields_are_no_events() -> None:
    assert EventSplitter().feed(b": ping\n\nid: 7\nretry: 3\n\n") == []


def test_names_and_joined_data_lines() -> None:
    splitter = EventSplitter()
    assert splitter.feed(b"event: answer.delta\ndata: one\ndata:two\n\n") == [("answer.delta", b"one\ntwo")]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_both_line_ends(end: bytes) -> None:
    block = b"event: x" + end + b"data: y" + end + end
    assert EventSplitter().feed(block * 2) == [("x", b"y"), ("x", b"y")]


_TEXTS = st.lists(
    st.text(st.characters(exclude_characters="\r\n", exclude_categories=("Cs",))), min_size=1, max_size=8
)


@given(_TEXTS, st.lists(st.integers(0, 400), max_size=12))
def test_cutting_a_stream_anywhere_changes_nothing(texts: list[str], cuts: list[int]) -> None:
    stream = b"".join(b"data: " + text.encode() + b"\n\n" for text in texts)
    splitter = EventSplitter()
    found = []
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    for start, end in itertools.pairwise(edges):
        found += splitter.feed(stream[start:end])
    # One space after the colon belongs to the format, not to the text.
    assert found == [("", text.encode()) for text in texts]
    assert not splitter.has_rest


def test_an_event_that_never_ends_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MAX_EVENT_BYTES", 100)
    splitter = EventSplitter()
    splitter.feed(b"data: " + b"x" * 90)
    with pytest.raises(EventTooLarge, match="more than 100 bytes"):
        splitter.feed(b"x" * 10)


def test_a_rest_is_told() -> None:
    splitter = EventSplitter()
    splitter.feed(b"data: half")
    assert splitter.has_rest
