from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.errors import EngineFailed
from serve_app.openai_api.responses import DONE, TextShape, usage
from serve_app.openai_api.sse import SseReader, TextDelta, text_deltas

SHAPE = TextShape("id", "m", 0, is_chat=True)
STREAM = SHAPE.opening() + SHAPE.delta("Grüße ") + b": ping\n\n" + SHAPE.delta("日本") + SHAPE.finish("stop")
WHOLE = STREAM + SHAPE.counts(usage(3, 2)) + DONE


async def frames(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def deltas(*parts: bytes) -> list[TextDelta]:
    return [delta async for delta in text_deltas(frames(*parts))]


@given(st.lists(st.integers(0, len(WHOLE)), max_size=12))
async def test_how_the_bytes_are_cut_changes_nothing(cuts: list[int]) -> None:
    bounds = [0, *sorted(cuts), len(WHOLE)]
    parts = [WHOLE[start:end] for start, end in pairwise(bounds)]
    found = await deltas(*parts)
    assert "".join(delta.text for delta in found) == "Grüße 日本"
    assert [delta.finish_reason for delta in found if delta.finish_reason] == ["stop"]
    assert found[-1].usage == usage(3, 2)


def test_line_ends_of_every_kind() -> None:
    assert SseReader().feed(b"data: a\r\n\r\ndata:b\n\ndata: c\r\r") == ["a", "b", "c"]


def test_an_event_of_several_lines_is_one() -> None:
    assert SseReader().feed(b"event: x\nid: 1\ndata: a\ndata: b\n\n") == ["a\nb"]


async def test_nothing_after_done_is_read() -> None:
    assert await deltas(DONE + b"data: nonsense\n\n") == []


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (STREAM, "ended before"),
        (b"", "ended before"),
        (b"data: nonsense\n\n", "no chat chunk"),
        (b"data: [1]\n\n", "no chat chunk"),
        (b'data: {"choices": "x"}\n\n', "no chat chunk"),
        (b'data: {"error": {"message": "out of memory"}}\n\n', "out of memory"),
        (b'data: {"error": "plain"}\n\n', "no chat chunk"),
        (b"data: \xff\n\n", "not UTF-8"),
    ],
)
async def test_a_broken_stream_is_an_engine_that_failed(stream: bytes, message: str) -> None:
    with pytest.raises(EngineFailed, match=message):
        await deltas(stream)


async def test_deltas_without_text_are_none() -> None:
    stream = b'data: {"choices":[{"delta":{"content":null}}]}\n\ndata: {"choices":[],"usage":null}\n\n' + DONE
    assert await deltas(stream) == [TextDelta()]


async def test_texts_of_one_frame_are_one_and_of_two_frames_two() -> None:
    first, last = SHAPE.delta("Grüße ") + SHAPE.delta("aus "), SHAPE.delta("Rom")
    assert await deltas(first, last + SHAPE.finish("stop") + DONE) == [
        TextDelta("Grüße aus "),
        TextDelta("Rom"),
        TextDelta(finish_reason="stop"),
    ]


async def test_text_and_calls_of_tools_keep_their_order() -> None:
    call = {"index": 0, "id": "1", "function": {"name": "f", "arguments": "{}"}}
    frame = SHAPE.delta("a") + SHAPE.delta("b") + SHAPE.part("", {"tool_calls": [call]}) + SHAPE.delta("c")
    assert await deltas(frame + DONE) == [TextDelta("ab"), TextDelta(tool_calls=(call,)), TextDelta("c")]


async def test_text_before_a_fault_of_the_same_frame_is_told() -> None:
    found = text_deltas(frames(SHAPE.delta("a") + SHAPE.delta("b") + b"data: nonsense\n\n"))
    assert await anext(found) == TextDelta("ab")
    with pytest.raises(EngineFailed, match="no chat chunk"):
        await anext(found)
