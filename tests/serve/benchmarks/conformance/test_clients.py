"""Clients that behave badly, against a server of known behaviour: what they do, and what they say of it."""

from __future__ import annotations

import pytest

from benchmarks.conformance.clients import SlowBodies, SlowReaders, Vanishing
from benchmarks.reference_server.process import running
from benchmarks.scenarios.faults import FaultFailed
from benchmarks.target import Target


def test_clients_that_leave_free_the_only_slot() -> None:
    with running(ttft_ms=5, tpot_ms=20, max_concurrent=1) as server:
        fault = Vanishing(Target(server.url, "reference"), num_clients=3)
        told = fault.inject()
    assert told.startswith("slots were free after")
    assert len(fault.measured()["freed_ms"]) == 3
    # Each left 20 s of work behind: had it been done, nobody would have been answered in so short a time.
    assert max(fault.freed_ms) < 10_000


def test_slow_readers_get_what_they_read_and_leave() -> None:
    with running(ttft_ms=5, tpot_ms=1) as server:
        told = SlowReaders(
            Target(server.url, "reference"), num_each=2, duration_s=1.0, num_tokens=50
        ).inject()
    assert told == "2 bytes were read in 1 s, then all left"


def test_requests_that_come_slowly_are_answered_when_they_are_whole() -> None:
    with running(ttft_ms=5, tpot_ms=1) as server:
        told = SlowBodies(Target(server.url, "reference"), num_each=2, duration_s=1.0).inject()
    assert told == "2 of 2 that came whole were answered, the others left"


def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(FaultFailed, match=r"http://127\.0\.0\.1:9: "):
        SlowReaders(Target("http://127.0.0.1:9", "reference"), duration_s=60.0).inject()
