"""From runs with a stall to figures, the bar and a table."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.peers.base import Load, Reported
from benchmarks.peers.choose import Tools
from benchmarks.peers.measure import Bench, Measured
from benchmarks.peers.records import record_of, requests_of
from benchmarks.peers.stall import as_table, needed_concurrency, summarise

Make = Callable[..., Measured]


class FakeTool:
    version = "1.2"

    def __init__(self, name: str) -> None:
        self.name = name

    def command(self, url: str, load: Load, folder: Path) -> list[str]:
        raise AssertionError("nothing is run")

    def run(self, url: str, load: Load, folder: Path, timeout_s: float) -> Reported:
        raise AssertionError("nothing is run")


TOOLS = Tools((FakeTool("manta"), FakeTool("other")), {"third": "not given"})
BLIND = Reported(20.0, 22.0, 25.0, 100, 0, (20.0,))


def runs(measured: Make, ours: Reported | None = None) -> list[tuple[int, Measured]]:
    late = [0.0] * 80 + [1000.0] * 20  # behind: truth p95 is 1,020 ms
    return [
        (n, measured(10.0, late, tool=tool, reported=said))
        for n in range(3)
        for tool, said in (("manta", ours), ("other", BLIND))
    ]


def test_a_blind_tool_is_seen_by_its_ratio(measured: Make) -> None:
    summary = summarise(runs(measured), TOOLS)
    assert summary["bar"]["is_met"]
    assert summary["tools"]["manta"]["ratio_p95"] == 1.0
    assert summary["tools"]["other"]["ratio_p95"] == round(22 / 1020, 4)
    assert summary["tools"]["other"]["reported_p95_ms"] == 22.0
    text = as_table(summary)
    assert "5 % in every repetition: met" in text
    assert "third: did not run: not given" in text


def test_the_bar_is_missed_by_one_bad_repetition(measured: Make) -> None:
    some = runs(measured)
    some[2] = (1, measured(10.0, [0.0] * 80 + [1000.0] * 20, tool="manta", reported=BLIND))
    assert not summarise(some, TOOLS)["bar"]["is_met"]


def test_a_failed_repetition_misses_the_bar_and_is_told(measured: Make) -> None:
    some = runs(measured)
    some[2] = (1, measured(10.0, [0.0] * 10, tool="manta", failure="it ended with 1: no memory"))
    summary = summarise(some, TOOLS)
    assert not summary["bar"]["is_met"]
    assert len(summary["tools"]["manta"]["ratios_p95"]) == 2
    assert "manta: did not run: it ended with 1: no memory" in as_table(summary)


def test_a_record_has_no_paths_of_the_machine(measured: Make) -> None:
    run = measured(10.0, [0.0, 1.0])
    record = record_of(run)
    words = record["command"].split()
    assert words[:3] == ["env", "HF_HUB_OFFLINE=1", "HF_HOME=HOME"]
    assert words[3:] == [Path(sys.executable).name, "--endpoint", "/v1/chat", "--out", "OUT/o"]
    assert record["truth"]["num_arrived"] == 2
    assert requests_of(run)["late_us"] == [0, 1000]
    assert requests_of(run)["wait_us"] == [20000, 21000]


def test_a_cap_has_room_for_what_the_load_needs() -> None:
    assert needed_concurrency(Load(20.0, 100), Bench(ttft_ms=20.0, tpot_ms=5.0)) == 4
