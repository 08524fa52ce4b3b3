"""An answer that cites a source which is not current says so, whatever else was found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

Build = Callable[..., Any]
Virtual = Callable[..., Any]


@pytest.mark.parametrize(
    ("answer", "stale", "is_flagged"),
    [
        ("It travels with the request [1].", ("docs",), True),
        ("It travels with the request [1].", ("wiki",), False),
        ("It travels with the request [1].", (), False),
        ("It travels, I think.", ("docs",), False),  # cites nothing
    ],
)
def test_only_what_is_cited_counts(
    build: Build, virtual: Virtual, answer: str, stale: tuple[str, ...], is_flagged: bool
) -> None:
    house = build({"chat": [answer]})
    house.knowledge.result = replace(house.knowledge.result, stale_sources=stale)
    events = virtual(house.ask)
    assert ("stale_source" in events[-1].data["flags"]) == is_flagged
    [retrieval] = [event.data for event in events if event.type == "retrieval"]
    assert retrieval["stale_sources"] == list(stale)
