"""Faults by kubectl: the command lines, against a kubectl that only writes them down."""

from __future__ import annotations

from collections.abc import Sequence

import httpx
import pytest

from benchmarks.conformance import cluster
from benchmarks.conformance.kubernetes import Kubectl, RemoteCluster, by_kubectl
from benchmarks.scenarios.faults import FaultFailed, GivenCommand
from benchmarks.scenarios.subject import CannotRun


class FakeKubectl:
    """Two worker pods, the second of which has the model's replica."""

    def __init__(self, *, pods: Sequence[str] = ("w-0", "w-1")) -> None:
        self.asked: list[str] = []
        self._pods = pods

    def __call__(self, words: Sequence[str]) -> str:
        line = " ".join(words)
        self.asked.append(line)
        if "get pods" in line:
            pods = ("h-0",) if "node-type=head" in line else self._pods
            return "".join(f"pod/{pod}\n" for pod in pods)
        if "pgrep" in line:
            return "17\n99\n" if "w-1" in line or "h-0" in line else ""
        return ""


def kubectl(run: FakeKubectl) -> Kubectl:
    return Kubectl(("kubectl", "--context", "test"), "serving", "manta-abcde", "manta", "Model-mock", run)


def test_a_replica_is_killed_in_the_pod_that_has_one() -> None:
    run = FakeKubectl()
    told = by_kubectl(kubectl(run))[cluster.ENGINE_KILLED].inject()
    assert told == "SIGKILL to process 17 of w-1"
    assert run.asked[0].startswith("kubectl --context test --namespace serving get pods --selector")
    assert "ray.io/cluster=manta-abcde,ray.io/node-type=worker" in run.asked[0]
    assert run.asked[-1] == "kubectl --context test --namespace serving exec w-1 -- kill -KILL 17"


def test_the_controller_is_killed_in_the_head() -> None:
    run = FakeKubectl()
    by_kubectl(kubectl(run))[cluster.CONTROLLER_KILLED].inject()
    assert run.asked[-1].endswith("exec h-0 -- kill -KILL 17")


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        (cluster.NODE_KILLED, "delete pod w-1 --grace-period=0 --force --wait=false"),
        (cluster.NODE_DRAINED, "delete pod w-1 --wait=true"),
        (cluster.HEAD_KILLED, "delete pod h-0 --grace-period=0 --force --wait=false"),
    ],
)
def test_a_node_is_its_pod(name: str, ending: str) -> None:
    run = FakeKubectl()
    by_kubectl(kubectl(run))[name].inject()
    assert run.asked[-1].endswith(ending)


def test_a_cluster_without_pods_is_named() -> None:
    with pytest.raises(FaultFailed, match="no worker pod of manta-abcde runs in serving"):
        by_kubectl(kubectl(FakeKubectl(pods=())))[cluster.ENGINE_KILLED].inject()


def remote(http: httpx.Client, **options: object) -> RemoteCluster:
    return RemoteCluster("http://there", http, **options)  # type: ignore[arg-type]


def test_a_command_of_the_users_comes_before_kubectl() -> None:
    http = httpx.Client(base_url="http://there")
    found = remote(http, commands={cluster.UPDATED: "roll it"}, kubectl=kubectl(FakeKubectl()))
    assert found.fault(cluster.UPDATED) == GivenCommand("roll it", 120.0)
    assert found.fault(cluster.ENGINE_KILLED).start_text == "a replica of Model-mock gets SIGKILL"
    with pytest.raises(CannotRun, match="--do 'disk-full=COMMAND'"):
        found.fault(cluster.DISK_FULL)


def test_without_either_nothing_can_be_done() -> None:
    with pytest.raises(CannotRun, match="nothing says how"):
        remote(httpx.Client(base_url="http://there")).fault(cluster.ENGINE_KILLED)


def test_mending_waits_until_the_application_is_ready() -> None:
    answers = [httpx.Response(503), httpx.Response(200)]
    http = httpx.Client(base_url="http://there", transport=httpx.MockTransport(lambda _: answers.pop(0)))
    slept: list[float] = []
    remote(http, sleep=slept.append).mend()
    assert slept == [1.0]
    assert not answers


def test_mending_gives_up() -> None:
    http = httpx.Client(base_url="http://there", transport=httpx.MockTransport(lambda _: httpx.Response(503)))
    moments = iter([0.0, 1000.0])
    with pytest.raises(CannotRun, match="/readyz answered 503"):
        remote(http, clock=lambda: next(moments), sleep=lambda _: None).mend()
