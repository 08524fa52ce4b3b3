from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from benchmarks.errors import BadTarget, BenchmarkError
from benchmarks.records import ClientSample, Outcome, Record
from benchmarks.report.inputs import SuiteReport
from benchmarks.run.execute import RunOptions
from benchmarks.run.progress import Progress
from benchmarks.scenarios.faults import GivenCommand
from benchmarks.scenarios.knowledge import client_for
from benchmarks.scenarios.scenario import Dials
from benchmarks.scenarios.subject import Commands, Subject
from benchmarks.scenarios.suite import Suite, Tools
from benchmarks.target import Target
from configs.load import Profile
from configs.workload import Workload

MakeRecord = Callable[..., Record]
TARGET = Target("http://server", "mock")


HOURS_S = 3600.0  # later than any scenario has its fault


def progress_at(at_s: float) -> Progress:
    sample = ClientSample(0, at_s, 1, 1, 0, 1, 0.1, None, 1.0, 1.0, 1.0, num_outcomes={"ok": 1})
    return Progress(at_s, 20.0, 1, 1, 1, 0, {}, (sample,))


@pytest.fixture(autouse=True)
def _commands_that_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GivenCommand, "inject", lambda self: "ended after 0.1 s")


@dataclass
class FakeTools:
    """Runs that end at once, with whatever outcome is set for them by name."""

    record: MakeRecord
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    failures: dict[str, BaseException] = field(default_factory=dict)
    interrupted: str | None = None  # name of the run in which Ctrl-C is pressed
    reasons: tuple[str, ...] = ()  # why the figures are invalid
    end_s: float = 0.5  # when answers are complete; their first token is there at once
    executed: list[str] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    reported: list[str] = field(default_factory=list)
    watched: list[str] = field(default_factory=list)
    prepared: list[Workload] = field(default_factory=list)

    def tools(self) -> Tools:
        return Tools(self.prepare, self.execute, self.write_report, self.watching)

    def prepare(self, workload: Workload, target: Target) -> Any:
        self.prepared.append(workload)
        return "prepared"

    def execute(self, workload: Workload, prepared: object, folder: Path, options: RunOptions) -> Any:
        assert prepared == "prepared"
        self.executed.append(workload.name)
        if workload.name in self.failures:
            raise self.failures[workload.name]
        if options.on_progress is not None:
            options.on_progress(progress_at(HOURS_S))
        if options.stop_when is not None:
            while options.stop_when(progress_at(2 * HOURS_S)) is None:
                threading.Event().wait(0.001)  # for the fault's own thread
        outcome = self.outcomes.get(workload.name, Outcome.OK)
        records = tuple(self.record(at, outcome=outcome, end_s=self._end_s(workload)) for at in range(20))
        return SimpleNamespace(
            folder=folder,
            workload=workload,
            settings={},
            records=records,
            samples=(),
            was_interrupted=workload.name == self.interrupted,
            summary=SimpleNamespace(
                window=SimpleNamespace(start_s=2.0, end_s=20.0),
                certification=SimpleNamespace(reasons=self.reasons, figures=(SimpleNamespace(text=LATE),)),
            ),
        )

    def _end_s(self, workload: Workload) -> float:
        return 0.5 if workload.name.startswith("calibration") else self.end_s

    def write_report(self, run: Any, events: Mapping[float, str] | None) -> None:
        assert (events is None) == (run.workload.name not in ("replica-killed", "rolling-update"))
        self.reported.append(run.workload.name)
        self.folders.append(run.folder)

    @contextmanager
    def watching(self, name: str) -> Iterator[Callable[[Progress], None]]:
        yield lambda _: self.watched.append(name)


@pytest.fixture
def fakes(record: MakeRecord) -> FakeTools:
    return FakeTools(record)


@dataclass
class App:
    """The application's own routes."""

    readiness: list[int] = field(default_factory=lambda: [200])
    knowledge_status: int = 200
    num_citations: int = 2

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path == "/readyz":
            return httpx.Response(self.readiness.pop(0) if len(self.readiness) > 1 else self.readiness[0])
        if path == "/v1/knowledge/status":
            return httpx.Response(self.knowledge_status, json={"num_chunks": 9})
        assert path == "/v1/agent/answers"
        return httpx.Response(200, json={"citations": [{}] * self.num_citations})


Run = Callable[..., SuiteReport]


@pytest.fixture
def run(fakes: FakeTools, bench_profile: Profile, tmp_path: Path) -> Run:
    def make(*names: str, app: App | None = None, **subject: Any) -> SuiteReport:
        chat, sleepy, _ = bench_profile.platform.models
        fields: dict[str, Any] = {
            "profile": bench_profile,
            "target": TARGET,
            "chat_model": chat,
            "sleepy_model": sleepy,
            "process": None,
            "why_no_process": "server is not this machine",
            "commands": Commands("true", "true"),
        }
        http = client_for(TARGET, httpx.MockTransport(app or App()))
        suite = Suite(Subject(**(fields | subject)), Dials(), http, tmp_path, fakes.tools())
        return suite.run(names) if names else suite.run()

    return make


def problems(report: SuiteReport) -> dict[str, str | None]:
    return {row.name: row.problem for row in report.rows}


def test_every_scenario_has_a_row_and_a_folder(run: Run, fakes: FakeTools, tmp_path: Path) -> None:
    report = run()
    assert [row.name for row in report.rows] == fakes.reported
    assert len(report.rows) == 10
    assert all(problem is None for problem in problems(report).values())
    assert fakes.folders[0] == tmp_path / "01-steady"
    assert report.rows[9].link == "10-rolling-update/report.html"
    assert fakes.watched == fakes.reported


def test_one_preparation_serves_all_and_wakes_nobody(run: Run, fakes: FakeTools) -> None:
    run()
    (workload,) = fakes.prepared
    assert {request.kind: request.model for request in workload.requests} == {
        "embeddings": "embedder",
        "chat": None,
    }


def test_objectives_are_judged(run: Run, fakes: FakeTools) -> None:
    fakes.outcomes["burst"] = Outcome.HTTP_ERROR
    steady, burst = run("steady", "burst").rows
    assert steady.is_passed
    assert not burst.is_passed
    # The two seconds of warm-up, which the run's own summary leaves out, are left out here too.
    assert burst.objectives[0].measured == "18 of 18"


def test_a_fault_is_done_and_told(run: Run) -> None:
    (row,) = run("rolling-update").rows
    assert row.objectives[0].is_met
    assert row.events is not None
    assert next(iter(row.events.values())).startswith("true: ended after")


def test_what_cannot_be_done_is_a_row_with_its_reason(run: Run) -> None:
    report = run("cold-start", "replica-killed", "steady", sleepy_model=None, commands=Commands())
    assert problems(report) == {
        "cold-start": "not run: no model of this profile scales to zero",
        "replica-killed": "not run: server is not this machine; --kill-command says how to do it",
        "steady": None,
    }
    assert not report.rows[0].is_passed


@pytest.mark.parametrize(
    ("app", "why"),
    [
        (App(knowledge_status=500), "GET /v1/knowledge/status answered 500"),
        (App(num_citations=0), "cites nothing"),
    ],
)
def test_an_agent_without_knowledge_is_not_asked(run: Run, app: App, why: str) -> None:
    steady, agent = run("steady", "agent-answers", app=app).rows
    assert steady.problem is None
    assert agent.problem is not None
    assert agent.problem.startswith("not run: ")
    assert why in agent.problem


def test_with_nothing_to_ask_there_is_no_suite(run: Run) -> None:
    with pytest.raises(BadTarget, match="there is nothing to ask"):
        run(app=App(num_citations=0), chat_model=None)


def test_a_scenario_that_cannot_be_measured_does_not_end_the_others(run: Run, fakes: FakeTools) -> None:
    fakes.failures["ramp"] = BenchmarkError("a worker did not start")
    fakes.failures["calibration-long"] = BenchmarkError("no words of one token")
    report = run("ramp", "long-prompts", "steady")
    assert problems(report) == {
        "ramp": "a worker did not start",
        "long-prompts": "no words of one token",
        "steady": None,
    }


LATE = "ttft p95 is 60 ms, of which the client could explain 20 ms"


@pytest.mark.parametrize(
    ("outcome", "end_s", "reasons", "problem"),
    [
        (Outcome.OK, 0.5, (), None),
        # Met in spite of a late client: met.
        (Outcome.OK, 0.5, (LATE,), None),
        # Too slow, and it may be the client that was.
        (Outcome.OK, 9.0, (LATE,), LATE),
        (Outcome.OK, 9.0, (), None),
        # No lateness makes requests fail.
        (Outcome.HTTP_ERROR, 9.0, (LATE,), None),
        # Requests that were never sent take away any verdict.
        (Outcome.OK, 0.5, (LATE, "5 requests never left"), f"{LATE}; 5 requests never left"),
        (Outcome.HTTP_ERROR, 0.5, ("5 requests never left",), "5 requests never left"),
    ],
)
def test_a_late_client_takes_away_only_verdicts_about_time(
    run: Run, fakes: FakeTools, outcome: Outcome, end_s: float, reasons: tuple[str, ...], problem: str | None
) -> None:
    fakes.outcomes["steady"], fakes.reasons, fakes.end_s = outcome, reasons, end_s
    (row,) = run("steady").rows
    assert row.problem == problem
    assert row.run is not None


def test_ctrl_c_in_a_run_keeps_it_and_leaves_out_the_rest(run: Run, fakes: FakeTools) -> None:
    fakes.interrupted = "ramp"
    report = run("steady", "ramp", "burst")
    assert problems(report) == {
        "steady": None,
        "ramp": "interrupted before its end",
        "burst": "not run: interrupted",
    }
    assert fakes.reported == ["steady", "ramp"]


def test_ctrl_c_between_runs_keeps_what_there_is(run: Run, fakes: FakeTools) -> None:
    fakes.failures["ramp"] = KeyboardInterrupt()
    report = run("steady", "ramp", "burst")
    assert problems(report) == {
        "steady": None,
        "ramp": "not run: interrupted",
        "burst": "not run: interrupted",
    }


def test_a_pace_is_kept_for_the_reader(run: Run) -> None:
    paces = run("steady").settings["paces"]
    assert paces["chat"]["concurrency"] == 16
