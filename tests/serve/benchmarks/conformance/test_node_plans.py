"""How nodes are started: on one machine they share nothing that only one of them can have."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.conformance.node_plans import NodePlans
from benchmarks.conformance.ray_node import RayNode
from cluster.local import serve_environment


@pytest.fixture
def plans(tmp_path: Path) -> NodePlans:
    return NodePlans(tmp_path, tmp_path / "home", lambda folder: {"SOCKET": str(folder / "s")})


def flag(node: RayNode, name: str) -> str:
    return node.arguments[node.arguments.index(name) + 1]


@pytest.mark.parametrize(
    "name",
    [
        "--temp-dir",
        "--dashboard-agent-listen-port",
        "--dashboard-agent-grpc-port",
        "--runtime-env-agent-port",
        "--metrics-export-port",
    ],
)
def test_each_node_has_its_own(plans: NodePlans, name: str) -> None:
    nodes = [plans.head(None), plans.worker(0, {}), plans.worker(1, {})]
    assert len({flag(node, name) for node in nodes}) == 3


def test_what_manta_up_gives_serve_can_be_given_to_each_node(tmp_path: Path) -> None:
    plans = NodePlans(tmp_path / "ray", tmp_path / "home", serve_environment)
    for node in (plans.head(None), plans.worker(0, {})):
        assert Path(node.environment["RAY_SERVE_HAPROXY_BINARY_PATH"]).is_file()


def test_a_head_that_is_made_again_comes_back_where_it_was(plans: NodePlans) -> None:
    first, second = plans.head("127.0.0.1:1"), plans.head("127.0.0.1:1")
    for name in ("--port", "--dashboard-port"):
        assert flag(first, name) == flag(second, name)
    assert flag(plans.worker(0, {}), "--address").endswith(f":{flag(first, '--port')}")


def test_only_a_head_is_told_of_the_redis(plans: NodePlans) -> None:
    assert plans.head("127.0.0.1:1").environment["RAY_REDIS_ADDRESS"] == "127.0.0.1:1"
    assert "RAY_REDIS_ADDRESS" not in plans.head(None).environment
    assert "RAY_REDIS_ADDRESS" not in plans.worker(0, {}).environment


def test_a_worker_may_have_an_environment_of_its_own(plans: NodePlans) -> None:
    worker = plans.worker(0, {"LD_PRELOAD": "clock.so"})
    assert worker.environment["LD_PRELOAD"] == "clock.so"
    assert worker.environment["SOCKET"].endswith("worker0/s")
    assert worker.environment["RAY_AUTH_TOKEN"] == plans.token
    assert "LD_PRELOAD" not in plans.worker(1, {}).environment


def test_every_address_is_of_loopback(plans: NodePlans) -> None:
    for node in (plans.head(None), plans.worker(0, {})):
        assert flag(node, "--node-ip-address").startswith("127.")
