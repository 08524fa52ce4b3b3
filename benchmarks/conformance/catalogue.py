"""The rows of the table: what is done, and what its clients may see of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from benchmarks.conformance import cluster as faults
from benchmarks.conformance.clients import SlowBodies, SlowReaders, Vanishing
from benchmarks.conformance.cluster import CLUSTER_FAULTS, Cluster
from benchmarks.conformance.expectations import NOTHING, Expectation
from benchmarks.scenarios.faults import Fault
from benchmarks.scenarios.subject import CannotRun
from benchmarks.target import Target

SLOW_READERS = "slow-readers"
VANISHING_CLIENTS = "vanishing-clients"
SLOW_BODIES = "slow-bodies"

# What dies takes its own streams with it. That is told where somebody is left who can tell: the ingress for an
# engine. Where the process dies that holds the client's connection, the broken connection is what tells.
_KILLED = Expectation(may_tell=True, recover_within_s=30.0)
_CONNECTION_HOLDER_KILLED = Expectation(may_tell=True, may_break=True, recover_within_s=30.0)

EXPECTATIONS: Mapping[str, Expectation] = {  # in the order in which they are done: the gravest last
    faults.ENGINE_KILLED: _KILLED,
    # Until it is found to hang, requests go on to it; each is told when its own time is over.
    faults.ENGINE_STOPPED: Expectation(may_tell=True, may_fail_for_s=0.0, recover_within_s=75.0),
    faults.CONNECTION_CUT: _KILLED,
    faults.INGRESS_KILLED: _CONNECTION_HOLDER_KILLED,
    faults.PROXY_KILLED: _CONNECTION_HOLDER_KILLED,
    faults.CONTROLLER_KILLED: NOTHING,
    SLOW_READERS: NOTHING,
    VANISHING_CLIENTS: NOTHING,
    SLOW_BODIES: NOTHING,
    faults.DISK_FULL: NOTHING,
    faults.CLOCK_STEPPED: NOTHING,
    faults.SCALED_TO_ZERO: NOTHING,
    faults.SCALED_DOWN: NOTHING,
    faults.UPDATED: NOTHING,
    faults.NODE_DRAINED: NOTHING,
    # The agent's parts have one replica each, and the knowledge base can have no more.
    faults.NODE_KILLED: replace(_CONNECTION_HOLDER_KILLED, single_entries=("agent",), recover_within_s=60.0),
    faults.HEAD_KILLED: _CONNECTION_HOLDER_KILLED,
}
NAMES = tuple(EXPECTATIONS)


@dataclass(frozen=True, slots=True)
class Row:
    """One fault, ready to be done.

    Args:
        make: raises CannotRun where it cannot be done.
    """

    name: str
    make: Callable[[], Fault]
    expectation: Expectation


def rows(cluster: Cluster, target: Target, narrow_model: str | None) -> dict[str, Row]:
    """Name -> row, for all faults.

    Args:
        target: that the load asks.
        narrow_model: one that works on a single sequence at a time; None: there is none.
    """

    def vanishing() -> Fault:
        if narrow_model is None:
            raise CannotRun(
                "no model is known that works on one sequence at a time, so no freed slot can be seen"
            )
        return Vanishing(replace(target, model=narrow_model))

    by_clients: dict[str, Callable[[], Fault]] = {
        SLOW_READERS: lambda: SlowReaders(target),
        VANISHING_CLIENTS: vanishing,
        SLOW_BODIES: lambda: SlowBodies(target),
    }
    by_cluster = {name: _of(cluster, name) for name in CLUSTER_FAULTS}
    makers = by_clients | by_cluster
    return {name: Row(name, makers[name], expectation) for name, expectation in EXPECTATIONS.items()}


def _of(cluster: Cluster, name: str) -> Callable[[], Fault]:
    return lambda: cluster.fault(name)
