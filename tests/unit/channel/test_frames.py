from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.channel.frames import (
    HEADER,
    MAX_PAYLOAD_BYTES,
    BadFrame,
    FrameReader,
    Kind,
    credit,
    credit_of,
    frame,
)
from serve_app.errors import EngineFailed

FRAMES = st.lists(st.tuples(st.integers(0, 2**32 - 1), st.sampled_from(Kind), st.binary(max_size=40)))


@given(FRAMES, st.lists(st.integers(0, 400)))
def test_frames_arrive_as_they_were_sent_however_the_network_cuts_them(
    frames: list[tuple[int, Kind, bytes]], cuts: list[int]
) -> None:
    wire = b"".join(frame(*one) for one in frames)
    bounds = sorted({0, len(wire), *(cut for cut in cuts if cut < len(wire))})
    reader = FrameReader()
    arrived = [one for start, end in pairwise(bounds) for one in reader.feed(wire[start:end])]
    assert arrived == frames


@pytest.mark.parametrize("kind", [0, 10, 255])
def test_a_kind_that_is_none_of_ours_is_refused(kind: int) -> None:
    with pytest.raises(BadFrame, match=f"kind {kind}"):
        FrameReader().feed(HEADER.pack(1, kind, 0))


def test_a_length_beyond_ours_is_refused_before_it_is_waited_for() -> None:
    with pytest.raises(BadFrame, match=str(MAX_PAYLOAD_BYTES + 1)):
        FrameReader().feed(HEADER.pack(1, Kind.DATA, MAX_PAYLOAD_BYTES + 1))


def test_a_message_that_no_frame_takes_is_the_senders_fault() -> None:
    with pytest.raises(EngineFailed, match="longer"):
        frame(1, Kind.DATA, bytes(MAX_PAYLOAD_BYTES + 1))


def test_a_credit_is_a_number() -> None:
    [(_, kind, payload)] = FrameReader().feed(credit(7, 123456))
    assert (kind, credit_of(payload)) == (Kind.CREDIT, 123456)
    with pytest.raises(BadFrame, match="4 bytes"):
        credit_of(b"123")
