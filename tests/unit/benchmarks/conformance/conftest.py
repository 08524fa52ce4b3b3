"""Records of windows, and what was done in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.conformance.tally import Ended, ended
from benchmarks.records import Outcome, Record
from benchmarks.scenarios.injection import Injected

MakeRecord = Callable[..., Record]
SECOND_NS = 1_000_000_000


@pytest.fixture
def make_record() -> MakeRecord:
    """A stream that began 50 ms after its arrival and took a second, unless it is said otherwise."""

    def make(
        arrival_s: float = 0.0, outcome: Outcome = Outcome.OK, *, took_s: float = 1.0, **fields: Any
    ) -> Record:
        intended_ns = round(arrival_s * SECOND_NS)
        begun = {
            "headers_ns": intended_ns + 50_000_000,
            "first_token_ns": intended_ns + 50_000_000,
            "status": 200,
        }
        if outcome in (Outcome.REFUSED, Outcome.HTTP_ERROR):
            begun = {"headers_ns": intended_ns + 50_000_000, "status": 503}
        if outcome is Outcome.CONNECT:
            begun = {}
        return Record(
            **{
                "index": 0,
                "entry": "seed-0",
                "worker": 0,
                "outcome": outcome,
                "intended_ns": intended_ns,
                "end_ns": intended_ns + round(took_s * SECOND_NS),
                "is_stream": True,
                **begun,
                **fields,
            }
        )

    return make


@pytest.fixture
def killed() -> Injected:
    """Something died 3 s after the window's start."""
    return Injected(3.0, 3.001, "a replica is killed", "SIGKILL to process 7", is_done=True)


@pytest.fixture
def window(make_record: MakeRecord) -> Callable[..., tuple[Ended, ...]]:
    """Ten seconds of whole answers, one a second, and what else is given."""

    def make(*more: Record) -> tuple[Ended, ...]:
        calm = [make_record(float(second), num_pieces=1, text="manta ") for second in range(10)]
        return ended([*calm, *more])

    return make
