"""The truth of a run is made from the server's log by one rule."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.peers.base import Load
from benchmarks.peers.truth import Stall, open_loop_waits, truth_of
from benchmarks.reference_server.served import ServedRequest

Served = Callable[..., ServedRequest]
START_NS = 5_000_000_000_000_000
LOAD = Load(rate_rps=100.0, num_requests=5)


def test_a_run_on_time_is_never_late(served: Served) -> None:
    truth = truth_of([served(10.0 * k) for k in range(5)], LOAD, 20.0)
    assert truth is not None
    assert truth.late_ms == pytest.approx([0.0] * 5)
    assert truth.wait_ms == pytest.approx([20.0] * 5)
    assert truth.rate_rps == pytest.approx(100.0)
    assert (truth.num_arrived, truth.num_beyond) == (5, 0)


def test_the_order_of_the_log_is_not_that_of_arrivals(served: Served) -> None:
    truth = truth_of([served(10.0 * k) for k in (3, 0, 4, 2, 1)], LOAD, 20.0)
    assert truth is not None
    assert truth.late_ms == pytest.approx([0.0] * 5)


def test_the_clock_of_a_run_is_that_of_its_least_late_request(served: Served) -> None:
    """A first request that took 7 ms to connect does not make the others early."""
    truth = truth_of([served(at) for at in (7.0, 10.0, 20.0, 30.0, 40.0)], LOAD, 20.0)
    assert truth is not None
    assert truth.start_ns == START_NS
    assert truth.late_ms == pytest.approx([7.0, 0.0, 0.0, 0.0, 0.0])
    assert truth.wait_ms[0] == pytest.approx(27.0)


def test_a_wait_counts_from_when_the_request_was_due(served: Served) -> None:
    """A tool that stood still for 1 s: those behind have waited, though the server answered at once."""
    truth = truth_of([served(at) for at in (0.0, 10.0, 1020.0, 1030.0, 1040.0)], LOAD, 20.0)
    assert truth is not None
    assert truth.wait_ms == pytest.approx([20.0, 20.0, 1020.0, 1020.0, 1020.0])
    assert truth.open_loop_ms == pytest.approx([20.0] * 5)


def test_what_never_arrived_or_got_no_token_waits_as_in_an_open_loop(served: Served) -> None:
    stall = Stall(START_NS + 25_000_000, START_NS + 125_000_000)
    log = [served(0.0), served(10.0, ttft_ms=None), served(125.0)]
    truth = truth_of(log, LOAD, 20.0, stall)
    assert truth is not None
    assert truth.num_arrived == 3
    # Due at 10 ms: its token fell into the stall. Due at 30 and 40 ms: read when the server went on.
    assert truth.wait_ms == pytest.approx([20.0, 115.0, 125.0, 115.0, 105.0])


def test_what_was_not_asked_for_is_left_out(served: Served) -> None:
    log = [served(-3.0, path="/metrics"), *(served(10.0 * k) for k in range(7))]
    truth = truth_of(log, LOAD, 20.0)
    assert truth is not None
    assert (truth.num_arrived, truth.num_beyond) == (5, 2)
    assert truth.late_ms == pytest.approx([0.0] * 5)


def test_no_request_no_truth(served: Served) -> None:
    assert truth_of([served(0.0, path="/metrics")], LOAD, 20.0) is None


def test_the_stall_does_not_move_the_clock(served: Served) -> None:
    """Requests that the server read after its stall were sent before; their reading says nothing of the tool."""
    stall = Stall(START_NS + 15_000_000, START_NS + 1_015_000_000)
    truth = truth_of([served(at) for at in (2.0, 11.0, 1015.0, 1015.1, 1015.2)], LOAD, 20.0, stall)
    assert truth is not None
    assert truth.start_ns == START_NS + 1_000_000
    assert truth.wait_ms[2] == pytest.approx(1014.0)


@pytest.mark.parametrize(
    ("due_ms", "wait_ms"),
    [
        (0.0, 20.0),  # long before
        (95.0, 305.0),  # its token was due while the server stood still
        (100.0, 320.0),  # read when the server goes on, and then served
        (399.0, 21.0),
        (400.0, 20.0),  # after
    ],
)
def test_an_open_loop_meets_a_stall(due_ms: float, wait_ms: float) -> None:
    stall = Stall(START_NS + 100_000_000, START_NS + 400_000_000)
    waits = open_loop_waits(np.array([due_ms]), START_NS, 20.0, stall)
    assert waits == pytest.approx([wait_ms])
