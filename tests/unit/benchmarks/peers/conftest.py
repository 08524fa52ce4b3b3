"""A server's log of made-up runs, and runs made from it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from benchmarks.peers.base import Load, Reported
from benchmarks.peers.measure import Measured
from benchmarks.peers.truth import PATH, Stall, percentile, truth_of
from benchmarks.reference_server.served import Ending, ServedRequest, ServerSummary

TTFT_MS = 20.0
START_NS = 5_000_000_000_000_000  # a machine that has run for two months


def _served(arrival_ms: float, ttft_ms: float | None = TTFT_MS, path: str = PATH) -> ServedRequest:
    at_ns = START_NS + round(arrival_ms * 1e6)
    return ServedRequest(
        number=0,
        process=0,
        path=path,
        first_byte_ns=at_ns,
        complete_ns=at_ns,
        end_ns=at_ns + 200_000_000,
        ending=Ending.COMPLETE,
        is_stream=True,
        status=200,
        first_token_ns=None if ttft_ms is None else at_ns + round(ttft_ms * 1e6),
    )


@pytest.fixture
def served() -> Callable[..., ServedRequest]:
    """A stream that arrived so many ms after START_NS."""
    return _served


@pytest.fixture
def measured() -> Callable[..., Measured]:
    """A run whose requests arrived so late (ms); by default the tool reports the truth."""

    def make(
        rate_rps: float,
        late_ms: Sequence[float],
        *,
        num_due: int | None = None,
        reported: Reported | None = None,
        failure: str | None = None,
        server_late_ms: float = 0.1,
        tool: str = "tool",
        stall: Stall | None = None,
    ) -> Measured:
        load = Load(rate_rps, num_due or len(late_ms))
        log = [_served(k * 1e3 / rate_rps + late) for k, late in enumerate(late_ms)]
        truth = truth_of(log, load, TTFT_MS, stall)
        if reported is None and truth is not None and failure is None:
            p50, p95, p99 = (percentile(truth.wait_ms, percent) for percent in (50, 95, 99))
            reported = Reported(p50, p95, p99, len(late_ms), 0, tuple(map(float, truth.wait_ms)))
        summary = ServerSummary(0, len(log), 32 * len(log), 1.0, 10.0, 0.05, server_late_ms, 1.0)
        environment = ["env", "HF_HUB_OFFLINE=1", "HF_HOME=/tmp/x/home"]
        command = [*environment, sys.executable, "--endpoint", "/v1/chat", "--out", "/tmp/x/run/o"]
        return Measured(
            tool, load, command, Path("/tmp/x/run"), 1.0, reported, failure, truth, stall, (summary,)
        )

    return make
