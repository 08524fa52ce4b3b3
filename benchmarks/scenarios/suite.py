"""Runs scenarios one after the other against one application, and keeps what each of them showed.

One that cannot be done is a row with its reason, and so is one that fails to be measured: the others go on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from benchmarks.errors import BadTarget, BenchmarkError
from benchmarks.records import Record
from benchmarks.report.inputs import SuiteReport, SuiteRow
from benchmarks.results_folder import machine
from benchmarks.run.execute import Prepared, Run, RunOptions
from benchmarks.run.progress import Progress
from benchmarks.scenarios.calibration import Pace, find_pace
from benchmarks.scenarios.catalogue import SCENARIOS
from benchmarks.scenarios.checks import Check, Evidence
from benchmarks.scenarios.injection import Injected, Injection
from benchmarks.scenarios.knowledge import ensure_documents, first_question, num_citations
from benchmarks.scenarios.scenario import Dials, Plan, Scenario
from benchmarks.scenarios.subject import CannotRun, Subject, wait_until_ready
from benchmarks.target import Target
from configs.workload import LoadRequest, Workload

OnProgress = Callable[[Progress], None]
Events = Mapping[float, str]
INJECTION_GRACE_S = 1.0


@dataclass(frozen=True, slots=True)
class Tools:
    """What a suite does its work with; tests hand in fakes.

    Args:
        prepare: (workload, target) -> what runs against it share.
        execute: (workload, prepared, folder, options) -> a run.
        write_report: writes a run's own page, with what was done to the server (seconds -> what).
        watching: a scenario's name -> what shows its progress while it runs.
        tell: one line for whoever waits.
    """

    prepare: Callable[[Workload, Target], Prepared]
    execute: Callable[[Workload, Prepared, Path, RunOptions], Run]
    write_report: Callable[[Run, Events | None], object]
    watching: Callable[[str], AbstractContextManager[OnProgress | None]] = lambda _: nullcontext()
    tell: Callable[[str], None] = lambda _: None
    num_workers: int | None = None


class Suite:
    """The scenarios of one application.

    Args:
        http: asks the application's own routes.
        folder: gets a folder for each scenario.
    """

    def __init__(
        self, subject: Subject, dials: Dials, http: httpx.Client, folder: Path, tools: Tools
    ) -> None:
        self._subject = subject
        self._dials = dials
        self._http = http
        self._folder = folder
        self._tools = tools

    def run(self, names: Sequence[str] = tuple(SCENARIOS)) -> SuiteReport:
        """All of them, or those that are named; Ctrl-C leaves out the rest.

        Raises:
            BadTarget: nothing can be measured there at all.
        """
        wait_until_ready(self._http)
        plan = Plan(self._subject, self._dials, self._find_pace, self._why_no_knowledge())
        self._prepared = self._prepare(plan)
        rows: list[SuiteRow] = []
        for position, name in enumerate(names):
            try:
                row, is_interrupted = self._row(plan, name, f"{position + 1:02}-{name}")
            except KeyboardInterrupt:
                row, is_interrupted = _not_run(name, "interrupted"), True
            rows.append(row)
            if is_interrupted:
                rows += [_not_run(rest, "interrupted") for rest in names[position + 1 :]]
                break
        return SuiteReport(
            title=f"Scenarios: {self._subject.profile.path.name}", rows=rows, settings=self._settings(plan)
        )

    # ------------------------------------------------------------ before

    def _why_no_knowledge(self) -> str | None:
        """Why the agent has nothing to answer from; None: it has, and cites it."""
        question = first_question()
        try:
            self._tools.tell("looking into the knowledge base")
            ensure_documents(self._http)
            is_cited = num_citations(self._http, question) > 0
        except BadTarget as exc:
            return str(exc)
        return None if is_cited else f"the agent's answer to {question!r} cites nothing"

    def _prepare(self, plan: Plan) -> Prepared:
        """One for all runs. The model that scales to zero is not asked, because that would wake it."""
        self._tools.tell("asking the server what it serves")
        requests: list[LoadRequest] = [plan.embeddings()]
        try:
            requests.append(plan.main_request())
        except CannotRun as exc:
            raise BadTarget(f"there is nothing to ask: {exc}") from exc
        return self._tools.prepare(
            Workload(name="suite", seed=self._dials.seed, requests=tuple(requests)), self._subject.target
        )

    def _find_pace(self, request: LoadRequest, concurrency: int) -> Pace:
        def measure(workload: Workload) -> Sequence[Record]:
            with TemporaryDirectory(prefix="manta-suite-") as folder:
                options = RunOptions(num_workers=self._tools.num_workers, keep_token_times=False)
                return self._execute(workload, Path(folder), options).records

        self._tools.tell(f"finding out how fast {request.label} is")
        dials = self._dials
        return find_pace(request, concurrency, dials.calibration_s, dials.timeout_s, measure)

    # ------------------------------------------------------------ one scenario

    def _row(self, plan: Plan, name: str, folder_name: str) -> tuple[SuiteRow, bool]:
        """(its row, whether somebody pressed Ctrl-C meanwhile)."""
        try:
            scenario = SCENARIOS[name](plan)
        except CannotRun as exc:
            return _not_run(name, str(exc)), False
        except BenchmarkError as exc:
            return SuiteRow(name, "", (), problem=str(exc)), False
        try:
            wait_until_ready(self._http)
            if scenario.before is not None:
                scenario.before()
            run, injected = self._measure(scenario, folder_name)
        except CannotRun as exc:
            return replace(_not_run(name, str(exc)), description=scenario.description), False
        except BenchmarkError as exc:
            return SuiteRow(name, scenario.description, (), problem=str(exc)), False
        row = _judged(scenario, run, injected, f"{folder_name}/report.html")
        self._tools.write_report(run, row.events)
        return row, run.was_interrupted

    def _measure(self, scenario: Scenario, folder_name: str) -> tuple[Run, Injected | None]:
        injection = None
        if scenario.fault is not None:
            injection = Injection(
                scenario.fault,
                scenario.fault_at_s,
                scenario.min_duration_s,
                self._dials.settle_s,
                scenario.workload.objectives,
            )
        with self._tools.watching(scenario.name) as show:
            options = RunOptions(
                num_workers=self._tools.num_workers,
                on_progress=_both(show, injection.on_progress if injection is not None else None),
                stop_when=injection.stop_when if injection is not None else None,
            )
            run = self._execute(scenario.workload, self._folder / folder_name, options)
        return run, injection.finish(INJECTION_GRACE_S) if injection is not None else None

    def _execute(self, workload: Workload, folder: Path, options: RunOptions) -> Run:
        return self._tools.execute(workload, self._prepared, folder, options)

    def _settings(self, plan: Plan) -> dict[str, object]:
        subject = self._subject
        return {
            "time_utc": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "url": subject.target.url,
            "profile": subject.profile.path.name,
            "chat_model": subject.target.model or None,
            "has_processes": subject.process is not None,
            "duration_s": self._dials.duration_s,
            "seed": self._dials.seed,
            "paces": plan.known_paces(),
            "machine": machine(),
        }


def _judged(scenario: Scenario, run: Run, injected: Injected | None, link: str) -> SuiteRow:
    evidence = Evidence(run.records, tuple(_counted(run)), run.workload.objectives, injected)
    objectives = tuple(check(evidence) for check in scenario.checks)
    unmet = [check for check, row in zip(scenario.checks, objectives, strict=True) if not row.is_met]
    return SuiteRow(
        name=scenario.name,
        description=scenario.description,
        objectives=objectives,
        run=run,
        problem=_problem(run, unmet),
        events=injected.events() if injected is not None else None,
        link=link,
    )


def _counted(run: Run) -> Iterator[Record]:
    """The records of the measured window, as the run's summary has it."""
    window = run.summary.window
    return (
        record for record in run.records if window.start_s * 1e9 <= record.intended_ns < window.end_s * 1e9
    )


def _problem(run: Run, unmet: Sequence[Check]) -> str | None:
    """Why the scenario's verdict does not count.

    A client that was late makes times longer and nothing else. So its lateness takes away the verdict only
    where times are all that speaks against the server; the run's own page marks the figures all the same.
    """
    if run.was_interrupted:
        return "interrupted before its end"
    certification = run.summary.certification
    lateness = {figure.text for figure in certification.figures}
    is_late_at_most = all(reason in lateness for reason in certification.reasons)
    is_failed_anyway = any(not check.is_timed for check in unmet)
    if is_late_at_most and (not unmet or is_failed_anyway):
        return None
    return "; ".join(certification.reasons) or None


def _not_run(name: str, reason: str) -> SuiteRow:
    return SuiteRow(name, "", (), problem=f"not run: {reason}")


def _both(first: OnProgress | None, second: OnProgress | None) -> OnProgress | None:
    hooks = [hook for hook in (first, second) if hook is not None]
    if not hooks:
        return None

    def call(progress: Progress) -> None:
        for hook in hooks:
            hook(progress)

    return call
