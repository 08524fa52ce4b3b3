"""Does the faults one after the other, each in a window of its own under load, and keeps what clients saw.

A window begins when all is well. It ends when all has been well again for longer than any request may take, so
that a stream that hangs is found; or at its limit. What cannot be done is a row with its reason.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.conformance.catalogue import Row
from benchmarks.conformance.cluster import Cluster
from benchmarks.conformance.expectations import judge, recovery_s
from benchmarks.conformance.load import LoadDials, workload
from benchmarks.conformance.tally import Tally, ended, tally
from benchmarks.errors import BenchmarkError
from benchmarks.records import Record
from benchmarks.report.inputs import ObjectiveRow
from benchmarks.run.execute import Prepared, Run, RunOptions
from benchmarks.run.progress import Progress
from benchmarks.scenarios.faults import Fault
from benchmarks.scenarios.injection import Injected, Injection
from benchmarks.scenarios.subject import CannotRun
from configs.workload import Objectives, Workload

Execute = Callable[[Workload, Prepared, Path, RunOptions], Run]
OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class WindowDials:
    """Of each window.

    Args:
        before_s: of load before the fault.
        limit_s: after which it ends, however things stand.
        margin_s: beyond the time that a request may take, for which all must be well.
    """

    before_s: float = 3.0
    limit_s: float = 180.0
    margin_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One row of the table.

    Args:
        problem: why it was not done, or not measured; None: it was.
        counted: None where there is a problem.
        recovery_s: see `expectations.recovery_s`.
        whole_again_s: from the fault until everything ran again as before it, with what was started for that;
            at least as long as the window. None: it does not.
        measured: what the fault itself measured, by name.
    """

    name: str
    checks: tuple[ObjectiveRow, ...] = ()
    problem: str | None = None
    counted: Tally | None = None
    injected: Injected | None = None
    recovery_s: float | None = None
    whole_again_s: float | None = None
    measured: Mapping[str, Any] = field(default_factory=dict)
    folder: str | None = None

    @property
    def verdict(self) -> str:
        """passed, failed, or not run."""
        if self.problem is not None:
            return "not run"
        return "passed" if all(check.is_met for check in self.checks) else "failed"


@dataclass(frozen=True, slots=True)
class Tools:
    """What a suite does its work with; tests hand in fakes.

    Args:
        watching: a row's name -> what shows its progress while it is measured.
        tell: one line for whoever waits.
    """

    execute: Execute
    watching: Callable[[str], AbstractContextManager[OnProgress | None]] = lambda _: nullcontext()
    tell: Callable[[str], None] = lambda _: None


class Suite:
    """The faults of one application.

    Args:
        expected: entry of the load's mix -> the text of its answers.
        folder: gets a folder for each window.
    """

    def __init__(
        self,
        cluster: Cluster,
        rows: Mapping[str, Row],
        prepared: Prepared,
        expected: Mapping[str, str],
        folder: Path,
        tools: Tools,
        load: LoadDials | None = None,
        windows: WindowDials | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster = cluster
        self._rows = rows
        self._prepared = prepared
        self._expected = expected
        self._folder = folder
        self._tools = tools
        self._load = load or LoadDials()
        self._windows = windows or WindowDials()
        self._clock = clock

    def run(self, names: Sequence[str]) -> list[Finding]:
        """One finding a name, in their order; Ctrl-C leaves out the rest."""
        findings: list[Finding] = []
        for position, name in enumerate(names):
            try:
                finding = self._find(self._rows[name], f"{position + 1:02}-{name}")
            except KeyboardInterrupt:
                findings += [Finding(rest, problem="not run: interrupted") for rest in names[position:]]
                break
            findings.append(finding)
            self._tools.tell(f"{name}: {finding.verdict}{_because(finding)}")
        return findings

    def _find(self, row: Row, folder_name: str) -> Finding:
        try:
            self._cluster.mend()
            fault = row.make()
            self._tools.tell(f"{row.name}: {fault.start_text}")
            start_s = self._clock()
            run, injected = self._measure(row, fault, folder_name)
        except CannotRun as exc:
            return Finding(row.name, problem=f"not run: {exc}")
        except BenchmarkError as exc:
            return Finding(row.name, problem=str(exc))
        if run.was_interrupted:
            raise KeyboardInterrupt
        finding = self._judged(row, fault, run.records, injected, folder_name)
        return replace(finding, whole_again_s=self._whole_again_s(start_s, injected))

    def _whole_again_s(self, start_s: float, injected: Injected | None) -> float | None:
        """Mend it. A window that does not is no fault of its row: the next one says so."""
        try:
            self._cluster.mend()
        except BenchmarkError:
            return None
        return self._clock() - start_s - injected.start_s if injected is not None else None

    def _measure(self, row: Row, fault: Fault, folder_name: str) -> tuple[Run, Injected | None]:
        windows = self._windows
        injection = Injection(fault, windows.before_s, windows.before_s, self._settle_s, Objectives())
        with self._tools.watching(row.name) as show:

            def on_progress(progress: Progress) -> None:
                injection.on_progress(progress)
                if show is not None:
                    show(progress)

            options = RunOptions(
                num_workers=1, keep_text=True, on_progress=on_progress, stop_when=injection.stop_when
            )
            load = workload(self._load, row.name, windows.limit_s)
            run = self._tools.execute(load, self._prepared, self._folder / folder_name, options)
        return run, injection.finish(self._settle_s)

    @property
    def _settle_s(self) -> float:
        return self._load.deadline_s + self._windows.margin_s

    def _judged(
        self, row: Row, fault: Fault, records: Sequence[Record], injected: Injected | None, folder_name: str
    ) -> Finding:
        requests = ended(records, hung_after_s=self._load.deadline_s)
        counted = tally(requests, self._expected)
        measured = getattr(fault, "measured", dict)
        return Finding(
            row.name,
            checks=judge(row.expectation, requests, counted, injected),
            counted=counted,
            injected=injected,
            recovery_s=recovery_s(requests, injected.start_s) if injected is not None else None,
            measured=measured(),
            folder=folder_name,
        )


def _because(finding: Finding) -> str:
    reasons = [finding.problem] if finding.problem is not None else []
    reasons += [f"{check.text}: {check.measured}" for check in finding.checks if not check.is_met]
    return f" ({'; '.join(reasons)})" if reasons else ""
