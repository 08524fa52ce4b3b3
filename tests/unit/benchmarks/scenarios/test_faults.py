from __future__ import annotations

import signal
from dataclasses import dataclass, field

import psutil
import pytest

from benchmarks.scenarios import faults
from benchmarks.scenarios.faults import FaultFailed, KillReplica, RollingUpdate


@dataclass
class FakeProcess:
    pid: int
    is_alive: bool = True
    signals: list[int] = field(default_factory=list)
    is_protected: bool = False

    def kill(self) -> None:
        if self.is_protected:
            raise psutil.AccessDenied(self.pid)
        self.is_alive = False

    def send_signal(self, number: int) -> None:
        if not self.is_alive:
            raise psutil.NoSuchProcess(self.pid)
        self.signals.append(number)

    def is_running(self) -> bool:
        return self.is_alive

    def status(self) -> str:
        return psutil.STATUS_SLEEPING


class Time:
    """A clock that goes on when somebody sleeps, and ends a process each time."""

    def __init__(self, *processes: FakeProcess) -> None:
        self.now_s = 100.0
        self._processes = list(processes)

    def clock(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        if self._processes:
            self._processes.pop().is_alive = False


def found(monkeypatch: pytest.MonkeyPatch, *processes: FakeProcess) -> FakeProcess:
    monkeypatch.setattr(faults, "replicas", lambda *_: list(processes))
    return FakeProcess(1)


def test_one_replica_is_killed_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = FakeProcess(5), FakeProcess(6)
    fault = KillReplica(found(monkeypatch, first, second), "manta", "Model-mock")  # type: ignore[arg-type]
    assert fault.inject() == "killed process 5, one of 2"
    assert (first.is_alive, second.is_alive) == (False, True)


@pytest.mark.parametrize(
    ("processes", "words"),
    [((), "no replica of Model-mock runs"), ((FakeProcess(5, is_protected=True),), "cannot kill process 5")],
)
def test_what_cannot_be_killed_is_told(
    monkeypatch: pytest.MonkeyPatch, processes: tuple[FakeProcess, ...], words: str
) -> None:
    application = found(monkeypatch, *processes)
    with pytest.raises(FaultFailed, match=words):
        KillReplica(application, "manta", "Model-mock").inject()  # type: ignore[arg-type]


def update(application: FakeProcess, time: Time) -> RollingUpdate:
    return RollingUpdate(application, "manta", 30.0, time.clock, time.sleep)  # type: ignore[arg-type]


def test_an_update_is_over_when_no_old_replica_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    old = [FakeProcess(number) for number in range(5)]
    application = found(monkeypatch, *old)
    assert update(application, Time(*old)).inject() == "replaced 5 replicas in 1.0 s"
    assert application.signals == [signal.SIGHUP]
    assert not any(process.is_alive for process in old)


def test_replicas_that_stay_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    old = [FakeProcess(number) for number in range(5)]
    application = found(monkeypatch, *old)
    with pytest.raises(FaultFailed, match="3 of 5 replicas were not replaced within 30 s"):
        update(application, Time(*old[:2])).inject()


def test_an_application_that_ends_is_no_update(monkeypatch: pytest.MonkeyPatch) -> None:
    old = [FakeProcess(number) for number in range(5)]
    application = found(monkeypatch, *old)
    with pytest.raises(FaultFailed, match="the application ended"):
        update(application, Time(application)).inject()


def test_an_application_that_is_gone_cannot_be_updated(monkeypatch: pytest.MonkeyPatch) -> None:
    application = found(monkeypatch, FakeProcess(2))
    application.is_alive = False
    with pytest.raises(FaultFailed, match="cannot send SIGHUP to process 1"):
        update(application, Time()).inject()
