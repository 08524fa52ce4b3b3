"""From runs to the next rate, a summary and a table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.peers.base import Load, Reported
from benchmarks.peers.capacity import as_tables, summarise
from benchmarks.peers.choose import Tools
from benchmarks.peers.judge import Judgement
from benchmarks.peers.measure import Bench, Measured
from benchmarks.peers.rates import RateRange
from benchmarks.peers.search import Search, decide

Make = Callable[..., Measured]
HONEST = Judgement(is_honest=True, reasons=(), is_void=False, is_far=False)
NEAR = Judgement(is_honest=False, reasons=("late",), is_void=False, is_far=False)
FAR = Judgement(is_honest=False, reasons=("late",), is_void=False, is_far=True)
VOID = Judgement(is_honest=False, reasons=("late",), is_void=True, is_far=True)


class FakeTool:
    name = "manta --workers 1"
    version = "1"

    def command(self, url: str, load: Load, folder: Path) -> list[str]:
        raise AssertionError("nothing is run")

    def run(self, url: str, load: Load, folder: Path, timeout_s: float) -> Reported:
        raise AssertionError("nothing is run")


@pytest.mark.parametrize(
    ("verdicts", "is_passed"),
    [
        ([HONEST], True),
        ([NEAR, HONEST], True),
        ([VOID, VOID, HONEST], True),
        ([NEAR], None),
        ([VOID], None),
        ([VOID, NEAR], None),
        ([NEAR, NEAR], False),
        ([FAR], False),
        ([VOID, VOID], None),
        ([VOID, VOID, VOID], False),
    ],
)
def test_how_often_a_rate_is_tried(verdicts: list[Judgement], *, is_passed: bool | None) -> None:
    assert decide(verdicts) is is_passed


def late(by_ms: float) -> list[float]:
    """The last 4 % of the requests: nobody overtakes them."""
    return [0.0] * 1920 + [by_ms] * 80


def test_the_strict_bound_is_searched_below_the_loose_one(measured: Make) -> None:
    """Lateness of 5 ms up to 400/s, of 50 ms above; of 0.2 ms at 50/s."""
    search = Search(FakeTool(), RateRange(first_rps=100.0, min_rps=50.0, precision=0.5))
    while (rate := search.next_rate()) is not None:
        by_ms = 0.2 if rate <= 50 else 5.0 if rate <= 400 else 50.0
        search.runs.append(measured(rate, late(by_ms), tool=search.tool.name))
    assert [run.load.rate_rps for run in search.runs] == [100.0, 200.0, 400.0, 800.0, 570.0, 50.0, 71.0]
    summary = summarise([search], Tools((search.tool,), {"aiperf": "not given"}))
    limits = summary["tools"]["manta --workers 1"]["limits"]
    assert (limits["10"]["highest_rps"], limits["10"]["failed_rps"]) == (400.0, 570.0)
    assert (limits["1"]["highest_rps"], limits["1"]["failed_rps"]) == (50.0, 71.0)
    assert limits["10"]["is_complete"]
    text = as_tables(summary, Bench(server_cpus=(1,), client_cpus=(0,)))
    assert "at 570/s: arrivals were late by 50.00 ms at p99" in text
    assert "aiperf: did not run: not given" in text


def test_only_deciding_runs_keep_their_requests(measured: Make) -> None:
    search = Search(FakeTool(), RateRange(first_rps=100.0, max_rps=400.0, precision=0.5))
    while (rate := search.next_rate()) is not None:
        search.runs.append(measured(rate, [0.0] * 1000, tool=search.tool.name))
    assert [run.load.rate_rps for run in search.deciding()] == [400.0]


def test_a_search_that_ran_out_of_time_says_so(measured: Make) -> None:
    search = Search(FakeTool(), RateRange())
    search.runs.append(measured(100.0, [0.0] * 500, tool=search.tool.name))
    limits = summarise([search], Tools((search.tool,), {}))["tools"][search.tool.name]["limits"]
    assert limits["1"]["highest_rps"] == 100.0
    assert not limits["1"]["is_complete"]


def test_a_limit_that_is_the_servers_is_no_limit_of_the_tool(measured: Make) -> None:
    search = Search(FakeTool(), RateRange(first_rps=100.0, max_rps=200.0, precision=2.0))
    while (rate := search.next_rate()) is not None:
        is_fine = rate <= 100
        by_ms, server_late_ms = (0.0, 0.1) if is_fine else (50.0, 40.0)
        search.runs.append(measured(rate, late(by_ms), server_late_ms=server_late_ms, tool=search.tool.name))
    summary = summarise([search], Tools((search.tool,), {}))
    assert summary["tools"][search.tool.name]["limits"]["10"]["is_the_servers"]
    text = as_tables(summary, Bench())
    assert "at least 100" in text
    assert "void: the server itself was late by 40.00 ms" in text
