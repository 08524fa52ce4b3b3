"""Kinds of processes, and what they used between two readings."""

from __future__ import annotations

import pytest

from benchmarks.cpu import CpuReading, kind_of, used_between


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        (["ray::ServeReplica:manta:Ingress"], "replica Ingress"),
        (["ray::ServeReplica:manta:Model-mock.handle_request_streaming"], "replica Model-mock"),
        (["ray::ServeController.listen_for_change"], "ray ServeController"),
        (["/usr/bin/haproxy", "-f", "/tmp/x/haproxy.cfg"], "haproxy"),
        (["/usr/bin/python3", "-m", "manta", "up", "/tmp/p.yaml"], "manta"),
        (["/usr/bin/python3", "-u", "/usr/lib/ray/dashboard/agent.py", "--node"], "agent"),
        (["/usr/lib/ray/raylet/raylet", "--x=y"], "raylet"),
    ],
)
def test_a_process_is_known_by_its_command(command: list[str], kind: str) -> None:
    assert kind_of(command, "name") == kind


def test_one_without_a_command_is_known_by_its_name() -> None:
    assert kind_of([], "kworker") == "kworker"


def test_processes_of_a_kind_are_added_and_those_that_ended_left_out() -> None:
    kinds = {1: "replica Ingress", 2: "replica Ingress", 3: "raylet"}
    before = CpuReading({1: 10.0, 2: 5.0, 3: 1.0}, kinds)
    after = CpuReading({1: 11.0, 2: 5.5}, kinds)
    assert used_between(before, after) == {"replica Ingress": 1.5}
