"""What the suite needs of the place where an application runs: a way to do each fault, and a way back.

    Cluster             does faults by name, and mends what they broke
    |-- LocalCluster    several raylets on this machine, started here; by signals
    `-- KubernetesCluster   a RayService somewhere, by kubectl

Faults that clients do themselves (slow readers, vanishing ones) need only an address and are no part of it.
"""

from __future__ import annotations

from typing import Protocol

from benchmarks.scenarios.faults import Fault

# Names of faults.
ENGINE_KILLED = "engine-killed"
ENGINE_STOPPED = "engine-stopped"
INGRESS_KILLED = "ingress-killed"
CONNECTION_CUT = "connection-cut"
PROXY_KILLED = "proxy-killed"
CONTROLLER_KILLED = "controller-killed"
SCALED_DOWN = "scaled-down"
SCALED_TO_ZERO = "scaled-to-zero"
UPDATED = "updated"
NODE_DRAINED = "node-drained"
NODE_KILLED = "node-killed"
HEAD_KILLED = "head-killed"
DISK_FULL = "disk-full"
CLOCK_STEPPED = "clock-stepped"

CLUSTER_FAULTS = (
    ENGINE_KILLED,
    ENGINE_STOPPED,
    INGRESS_KILLED,
    CONNECTION_CUT,
    PROXY_KILLED,
    CONTROLLER_KILLED,
    SCALED_DOWN,
    SCALED_TO_ZERO,
    UPDATED,
    NODE_DRAINED,
    NODE_KILLED,
    HEAD_KILLED,
    DISK_FULL,
    CLOCK_STEPPED,
)


class Cluster(Protocol):
    """Where the application runs."""

    @property
    def url(self) -> str:
        """Where clients reach it; without a slash at the end."""

    def fault(self, name: str) -> Fault:
        """What does one of CLUSTER_FAULTS.

        Raises:
            CannotRun: it cannot be done here; the message says why, and what is missing.
        """

    def mend(self) -> None:
        """Return once all is as it was before the last fault, and everything runs.

        Raises:
            CannotRun: it does not come back in time.
        """
