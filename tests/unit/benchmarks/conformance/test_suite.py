"""Windows one after the other: what is kept of each, and what leaves one out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmarks.conformance.catalogue import EXPECTATIONS, NAMES, Row, rows
from benchmarks.conformance.cluster import CLUSTER_FAULTS
from benchmarks.conformance.expectations import NOTHING
from benchmarks.conformance.results import exit_code, markdown, write
from benchmarks.conformance.suite import Finding, Suite, Tools
from benchmarks.prompts.generated import prepare_prompts
from benchmarks.records import Outcome, Record
from benchmarks.run.execute import INTERRUPTED, Prepared, Run, RunOptions
from benchmarks.run.progress import Progress
from benchmarks.scenarios.faults import Fault
from benchmarks.scenarios.subject import CannotRun
from benchmarks.summary.summarise import summarise
from benchmarks.target import Target
from configs.workload import Workload

MakeRecord = Callable[..., Record]
TARGET = Target("http://127.0.0.1:1", "mock")


class Poke:
    """A fault that is over at once."""

    start_text = "it is poked"

    def inject(self) -> str:
        return "poked"

    def measured(self) -> dict[str, Any]:
        return {"pokes": 1}


class FakeCluster:
    """A cluster that can only be poked, and that counts how often it was mended."""

    url = TARGET.url

    def __init__(self) -> None:
        self.num_mended = 0

    def fault(self, name: str) -> Fault:
        if name == "node-killed":
            raise CannotRun("there is one node")
        return Poke()

    def mend(self) -> None:
        self.num_mended += 1


@dataclass
class FakeExecute:
    """Plays a window: the fault is done once time has passed, and then the records are there."""

    records: list[Record]
    stopped_because: str | None = None

    def __call__(self, workload: Workload, prepared: Prepared, folder: Path, options: RunOptions) -> Run:
        assert options.keep_text
        assert options.on_progress is not None
        options.on_progress(Progress(100.0, 180.0, 1, 1, 1, 0, {}, ()))
        settings: dict[str, object] = {"stopped_because": self.stopped_because}
        summary = summarise(self.records, (), workload, arrivals_end_s=1.0, is_closed_loop=False, faults=())
        return Run(folder, workload, settings, tuple(self.records), (), summary)


def make_suite(tmp_path: Path, cluster: FakeCluster, execute: FakeExecute, told: list[str]) -> Suite:
    made = rows(cluster, TARGET, narrow_model=None)
    prepared = Prepared(TARGET, prepare_prompts(1, []))
    return Suite(cluster, made, prepared, {"seed-0": "manta "}, tmp_path, Tools(execute, tell=told.append))


@pytest.fixture
def calm(make_record: MakeRecord) -> list[Record]:
    return [make_record(float(second), text="manta ", num_pieces=1) for second in range(90, 120)]


def test_a_window_is_judged_by_its_row(tmp_path: Path, calm: list[Record]) -> None:
    cluster, told = FakeCluster(), list[str]()
    (finding,) = make_suite(tmp_path, cluster, FakeExecute(calm), told).run(["controller-killed"])
    assert finding.verdict == "passed", told
    assert finding.folder == "01-controller-killed"
    assert finding.measured == {"pokes": 1}
    assert cluster.num_mended == 2
    assert finding.whole_again_s is not None
    assert told[-1] == "controller-killed: passed"


def test_a_failure_that_is_not_excused_fails_the_row(
    tmp_path: Path, calm: list[Record], make_record: MakeRecord
) -> None:
    told = list[str]()
    records = [*calm, make_record(99.0, Outcome.CONNECT)]
    (finding,) = make_suite(tmp_path, FakeCluster(), FakeExecute(records), told).run(["updated"])
    assert finding.verdict == "failed"
    assert "no request fails: 1 of 31" in told[-1]


def test_what_cannot_be_done_is_a_row_with_its_reason(tmp_path: Path, calm: list[Record]) -> None:
    suite = make_suite(tmp_path, FakeCluster(), FakeExecute(calm), [])
    findings = suite.run(["node-killed", "vanishing-clients", "updated"])
    assert [finding.verdict for finding in findings] == ["not run", "not run", "passed"]
    assert findings[0].problem == "not run: there is one node"
    assert exit_code(findings) == 0


def test_ctrl_c_leaves_out_the_rest(tmp_path: Path, calm: list[Record]) -> None:
    suite = make_suite(tmp_path, FakeCluster(), FakeExecute(calm, INTERRUPTED), [])
    findings = suite.run(["updated", "controller-killed"])
    assert [finding.problem for finding in findings] == ["not run: interrupted"] * 2


def test_every_fault_has_a_row_and_an_expectation() -> None:
    assert set(CLUSTER_FAULTS) < set(NAMES)
    assert set(rows(FakeCluster(), TARGET, "narrow")) == set(NAMES)


@pytest.mark.parametrize("name", ["scaled-down", "scaled-to-zero", "updated", "node-drained"])
def test_planned_changes_are_noticed_by_nobody(name: str) -> None:
    assert EXPECTATIONS[name] == NOTHING


def test_results_are_for_readers_and_for_programs(tmp_path: Path, calm: list[Record]) -> None:
    suite = make_suite(tmp_path, FakeCluster(), FakeExecute(calm), [])
    findings = suite.run(["updated", "node-killed"])
    write(findings, tmp_path, "Conformance: test.yaml", {"rate_rps": 8.0})
    document = json.loads((tmp_path / "conformance.json").read_text())
    updated, killed = document["rows"]
    assert updated["verdict"] == "passed"
    assert updated["counts"]["completed"] == 30
    assert updated["fault"]["told"] == "poked"
    assert killed["problem"] == "not run: there is one node"
    page = (tmp_path / "conformance.md").read_text()
    assert page == markdown(findings, "Conformance: test.yaml")
    (line,) = [line for line in page.splitlines() if line.startswith("| updated |")]
    assert line.split(" | ")[1:4] == ["30", "30", "30"]


def test_the_exit_code_is_for_ci() -> None:
    poke = Finding("a", problem="not run: no redis")
    assert exit_code([poke]) == 2
    assert Row("a", Poke, NOTHING).make().inject() == "poked"
