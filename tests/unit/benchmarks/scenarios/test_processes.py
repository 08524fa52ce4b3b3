from __future__ import annotations

import os
from dataclasses import dataclass, field

import psutil
import pytest

from benchmarks.scenarios import processes
from benchmarks.scenarios.processes import (
    NotFound,
    application_at,
    deployment_of,
    is_manta_up,
    is_replica,
    is_this_machine,
    replicas,
)
from serve_app.app import build


@dataclass
class FakeProcess:
    pid: int
    command: list[str] = field(default_factory=list)
    below: list[FakeProcess] = field(default_factory=list)
    above: list[FakeProcess] = field(default_factory=list)
    state: str = psutil.STATUS_SLEEPING
    uid: int = field(default_factory=os.getuid)
    is_hidden: bool = False

    def cmdline(self) -> list[str]:
        if self.is_hidden:
            raise psutil.AccessDenied(self.pid)
        return self.command

    def children(self, *, recursive: bool) -> list[FakeProcess]:
        assert recursive
        return self.below

    def parents(self) -> list[FakeProcess]:
        return self.above

    def status(self) -> str:
        return self.state

    def is_running(self) -> bool:
        return True

    def create_time(self) -> float:
        return 1000.0 - self.pid

    def name(self) -> str:
        return "haproxy"

    def username(self) -> str:
        return "somebody"

    def uids(self) -> psutil._ntuples.puids:
        return type("Uids", (), {"real": self.uid})()


@pytest.mark.parametrize(
    ("title", "deployment", "expected"),
    [
        ("ray::ServeReplica:manta:Model-mock", "Model-mock", True),
        ("ray::ServeReplica:manta:Model-mock", None, True),
        ("ray::ServeReplica:manta:Model-mock.handle_request_streaming", "Model-mock", True),
        ("ray::ServeReplica:manta:Model-mock-2", "Model-mock", False),
        ("ray::ServeReplica:manta:Model-qwen2.5-1.5b", "Model-qwen2", False),
        ("ray::ServeReplica:manta:Model-qwen2.5-1.5b", "Model-qwen2.5-1.5b", True),
        ("ray::ServeReplica:manta:Model-qwen2.5-1.5b.respond", "Model-qwen2.5-1.5b", True),
        ("ray::ServeReplica:other:Model-mock", "Model-mock", False),
        ("ray::ServeController", None, False),
        ("grep ray::ServeReplica:manta:Model-mock", "Model-mock", False),
    ],
)
def test_a_replica_is_told_by_its_title(title: str, deployment: str | None, *, expected: bool) -> None:
    assert is_replica([title], "manta", deployment) is expected


def test_a_process_without_a_title_is_no_replica() -> None:
    assert not is_replica([], "manta", None)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["python", "-m", "manta", "up", "configs/local.yaml"], True),
        (["/x/bin/python", "/x/bin/manta", "up"], True),
        (["python", "-m", "manta", "ask", "up"], False),
        (["python", "manta"], False),
        (["vim", "manta.md", "up"], False),
        ([], False),
    ],
)
def test_the_first_process_is_told_by_its_command(command: list[str], *, expected: bool) -> None:
    assert is_manta_up(command) is expected


def test_replicas_are_those_that_run_and_the_oldest_comes_first() -> None:
    title = "ray::ServeReplica:manta:Agent"
    below = [
        FakeProcess(5, [title]),
        FakeProcess(7, [title]),
        FakeProcess(8, [title], state=psutil.STATUS_ZOMBIE),
        FakeProcess(9, ["ray::ServeReplica:manta:Ingress"]),
        FakeProcess(10, is_hidden=True),
    ]
    assert [one.pid for one in replicas(FakeProcess(1, below=below), "manta", "Agent")] == [7, 5]


def test_deployments_are_called_as_the_application_calls_them() -> None:
    name = "Qwen/Qwen2.5:x"
    platform = {
        "models": [{"name": name, "engine": "mock"}],
        "embedder": {"name": "embedder", "engine": "mock"},
        "agent": {"models": [name]},
    }
    # The ingress is bound to everything else, models by their names.
    (_, _, models, *_) = build(platform)._bound_deployment.init_args
    names = [application._bound_deployment.name for application in models.values()]
    assert names == [deployment_of(name)]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.3.2.1"])
def test_loopback_is_this_machine(host: str) -> None:
    assert is_this_machine(host)


@pytest.mark.parametrize("host", ["example.com", "203.0.113.9", ""])
def test_others_are_not(host: str) -> None:
    assert not is_this_machine(host)


class TestApplicationAt:
    def listen(self, monkeypatch: pytest.MonkeyPatch, *processes_by_port: tuple[int, FakeProcess]) -> None:
        connections = [
            type("C", (), {"status": psutil.CONN_LISTEN, "laddr": ("127.0.0.1", port), "pid": process.pid})()
            for port, process in processes_by_port
        ]
        known = {process.pid: process for _, process in processes_by_port}
        monkeypatch.setattr(processes.psutil, "net_connections", lambda kind: connections)
        monkeypatch.setattr(processes.psutil, "Process", known.__getitem__)

    def test_the_command_above_the_listener(self, monkeypatch: pytest.MonkeyPatch) -> None:
        up = FakeProcess(3, ["python", "-m", "manta", "up"])
        self.listen(monkeypatch, (8000, FakeProcess(9, ["haproxy"], above=[FakeProcess(5, ["raylet"]), up])))
        assert application_at("http://127.0.0.1:8000") is up  # type: ignore[comparison-overlap]

    def test_another_server_is_not_ours(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.listen(monkeypatch, (8000, FakeProcess(9, ["nginx"])))
        with pytest.raises(NotFound, match="not an application of `manta up`"):
            application_at("http://127.0.0.1:8000")

    def test_another_user_is_left_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        up = FakeProcess(3, ["manta", "up"], uid=os.getuid() + 1)
        self.listen(monkeypatch, (8000, up))
        with pytest.raises(NotFound, match="process 3 belongs to somebody"):
            application_at("http://127.0.0.1:8000")

    def test_nobody_listens(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.listen(monkeypatch, (8000, FakeProcess(9, ["manta", "up"])))
        with pytest.raises(NotFound, match="listens on port 8001"):
            application_at("http://127.0.0.1:8001")

    def test_another_machine(self) -> None:
        with pytest.raises(NotFound, match=r"manta\.example\.com is not this machine"):
            application_at("https://manta.example.com")
