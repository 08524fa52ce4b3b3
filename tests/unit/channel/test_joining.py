from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serve_app.channel.joining import MAX_WINDOW_S, window_s


def test_a_stream_alone_never_waits() -> None:
    assert window_s(0) == window_s(1) == 0.0


@given(st.integers(1, 100_000))
def test_more_streams_wait_longer_and_never_too_long(num_streams: int) -> None:
    assert window_s(num_streams) <= window_s(num_streams + 1) <= MAX_WINDOW_S
