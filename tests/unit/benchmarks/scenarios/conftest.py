from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.records import Outcome, Record
from configs.load import Profile, read_profile

MakeRecord = Callable[..., Record]


@pytest.fixture
def record() -> MakeRecord:
    """Makes a record from seconds: arrival, first token and end; a stream that ended well unless told."""

    def make(
        at_s: float,
        first_s: float | None = 0.1,
        end_s: float = 0.2,
        outcome: Outcome = Outcome.OK,
        **other: Any,
    ) -> Record:
        start_ns = round(at_s * 1e9)
        first_ns = None if first_s is None else start_ns + round(first_s * 1e9)
        fields: dict[str, Any] = {
            "index": 0,
            "entry": "chat",
            "worker": 0,
            "outcome": outcome,
            "intended_ns": start_ns,
            "sent_ns": start_ns,
            "end_ns": start_ns + round(end_s * 1e9),
            "is_stream": True,
            "first_token_ns": first_ns,
            "last_token_ns": None if first_ns is None else start_ns + round(end_s * 1e9),
            "num_pieces": 0 if first_ns is None else 5,
        }
        return Record(**(fields | other))

    return make


@pytest.fixture
def bench_profile(repository: Path) -> Profile:
    return read_profile(repository / "configs" / "bench.yaml")


@pytest.fixture
def local_profile(repository: Path) -> Profile:
    return read_profile(repository / "configs" / "local.yaml")
