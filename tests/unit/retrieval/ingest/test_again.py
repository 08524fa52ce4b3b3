"""The ingestion that runs again and again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from serve_app.retrieval.ingest.__main__ import again


class Over(Exception):
    """Somebody ended it."""


def test_a_run_that_breaks_off_later_is_made_again() -> None:
    codes: Iterator[int] = iter([0, 2, 1, 2, 0])
    waits: list[float] = []

    def once() -> int:
        try:
            return next(codes)
        except StopIteration:
            raise Over from None

    with pytest.raises(Over):
        again(once, 30.0, waits.append)
    assert waits == [30.0] * 5


def test_one_that_cannot_begin_ends_with_its_code() -> None:
    assert again(lambda: 2, 30.0, lambda _: pytest.fail("it waited")) == 2
