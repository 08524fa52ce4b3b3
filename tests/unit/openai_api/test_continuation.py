from __future__ import annotations

import json
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.errors import StreamLost
from serve_app.openai_api.continuation import SentAnswer, is_repeatable
from serve_app.openai_api.responses import DONE, TextShape, event, usage
from serve_app.openai_api.sse import SseReader


def answer(pieces: list[str], *, is_chat: bool = True, response_id: str = "first") -> list[bytes]:
    """The events of a whole answer."""
    shape = TextShape(response_id, "mock", 1, is_chat=is_chat)
    events = [shape.opening()] if is_chat else []
    events += [shape.delta(piece) for piece in pieces]
    return [*events, shape.finish("stop"), shape.counts(usage(3, len(pieces))), DONE]


def heard(events: list[bytes]) -> list[str]:
    return SseReader().feed(b"".join(events))


def text_of(data: list[str]) -> str:
    documents = [json.loads(one) for one in data if one != "[DONE]"]
    choices = [choice for document in documents for choice in document["choices"]]
    return "".join((one.get("delta") or {}).get("content") or one.get("text") or "" for one in choices)


async def frames_of(events: list[bytes]) -> AsyncIterator[bytes]:
    for one in events:
        yield one


async def continued(sent: list[bytes], repeated: list[bytes]) -> list[bytes]:
    kept = SentAnswer()
    for frame in sent:
        kept.keep(frame)
    return [frame async for frame in kept.rest_of(frames_of(repeated))]


@given(
    st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=12),
    st.lists(st.integers(0, 60), max_size=8),
    st.integers(0, 20),
    st.booleans(),
)
async def test_wherever_it_is_cut_the_client_gets_each_event_once(
    pieces: list[str], cuts: list[int], num_sent: int, is_chat: bool
) -> None:
    """The second replica may cut the same text into other pieces."""
    text = "".join(pieces)
    bounds = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    other = [text[start:end] for start, end in pairwise(bounds)]
    sent = answer(pieces, is_chat=is_chat)[:num_sent]
    got = heard(sent + await continued(sent, answer(other, is_chat=is_chat, response_id="second")))
    assert text_of(got) == text
    assert got[-1] == "[DONE]"
    assert got.count("[DONE]") == 1
    documents = [json.loads(one) for one in got[:-1]]
    assert len([one for one in documents if one.get("usage")]) == 1
    finishes = [choice["finish_reason"] for one in documents for choice in one["choices"]]
    assert [one for one in finishes if one] == ["stop"]
    assert len({one["id"] for one in documents}) == 1
    openings = [one for one in documents for c in one["choices"] if (c.get("delta") or {}).get("role")]
    assert len(openings) == (1 if is_chat else 0)


async def test_an_answer_that_differs_is_not_continued() -> None:
    sent = answer(["the sea ", "is blue"])[:3]
    with pytest.raises(StreamLost, match="differently"):
        await continued(sent, answer(["the sea ", "was blue"]))


async def test_an_answer_that_ends_sooner_is_not_continued() -> None:
    sent = answer(["the sea ", "is blue"])[:3]
    with pytest.raises(StreamLost, match="differently"):
        await continued(sent, answer(["the sea "]))


async def test_tool_calls_are_not_continued() -> None:
    call = event({"id": "x", "choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0}]}}]})
    with pytest.raises(StreamLost, match="more than text"):
        await continued([call], answer(["a"]))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"temperature": 0}, True),
        ({"temperature": 0.0, "n": 1}, True),
        ({"seed": 7, "temperature": 1.0}, True),
        ({}, False),
        ({"temperature": 0.7}, False),
        ({"temperature": 0, "n": 2}, False),
        ({"temperature": 0, "tools": [{}]}, False),
        ({"temperature": 0, "tools": [{}], "tool_choice": "none"}, True),
        ({"temperature": 0, "logprobs": True}, False),
        ({"temperature": 0, "logprobs": 0}, False),
        ({"temperature": 0, "logprobs": False}, True),
    ],
)
def test_only_what_makes_the_same_text_again_is_repeatable(body: dict[str, object], expected: bool) -> None:
    assert is_repeatable(body) is expected
