"""How the nodes of a local cluster are started: their ports, their flags, their environment.

Several raylets share this machine, so whatever Ray and Serve give a default port needs another one here.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.conformance.ray_node import RayNode
from benchmarks.scenarios.subject import CannotRun
from configs.ports import free_port

NODE_ADDRESS = (
    "127.0.0.2"  # of loopback, too; Ray takes 127.0.0.1 for a mistake, and puts the machine's own there
)
CPUS_OF_A_WORKER = 4  # that Ray believes in; replicas take a tenth of one
NUM_PORTS = 200  # of Serve's own listeners


class NodePlans:
    """The nodes of one cluster. A head that is made again comes back where it was.

    Args:
        environment: the folder of a node -> what Serve's processes on it need (see `cluster.local`).
    """

    def __init__(self, folder: Path, home: Path, environment: Callable[[Path], Mapping[str, str]]) -> None:
        self.token = secrets.token_hex(32)
        self._folder = folder
        self._home = home
        self._environment = environment
        self._gcs_port, self._dashboard_port, self._client_port = free_port(), free_port(), free_port()
        self._first_port = _block_of_ports()

    @property
    def gcs_address(self) -> str:
        return f"{NODE_ADDRESS}:{self._gcs_port}"

    @property
    def dashboard_url(self) -> str:
        return f"http://127.0.0.1:{self._dashboard_port}"

    @property
    def http_port(self) -> int:
        """That the proxies share."""
        return self._first_port + NUM_PORTS - 4

    @property
    def ray_environment(self) -> dict[str, str]:
        """What Ray's own commands need to reach the cluster."""
        return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token, "RAY_USAGE_STATS_ENABLED": "0"}

    def head(self, redis_address: str | None) -> RayNode:
        """The head; with a Redis its state outlives it."""
        more = {}
        if redis_address is not None:
            more = {
                "RAY_REDIS_ADDRESS": redis_address,
                "RAY_external_storage_namespace": self._folder.name,
            }
        flags = {
            "--port": str(self._gcs_port),
            "--dashboard-host": "127.0.0.1",
            "--dashboard-port": str(self._dashboard_port),
            "--include-dashboard": "true",
            "--ray-client-server-port": str(self._client_port),
            "--num-cpus": "0",  # no replicas on the head, as Ray advises for a RayService
        }
        return self._node("head", ["--head", "--no-monitor", *_words(flags)], more)

    def worker(self, number: int, more: Mapping[str, str]) -> RayNode:
        """A worker; `more` is environment of its own."""
        arguments = ["--address", self.gcs_address, "--num-cpus", str(CPUS_OF_A_WORKER)]
        return self._node(f"worker{number}", arguments, more)

    def _node(self, name: str, arguments: list[str], more: Mapping[str, str]) -> RayNode:
        folder = self._folder / name
        # Its environment names files in it, some of which are written now.
        folder.mkdir(parents=True, exist_ok=True)
        # No --node-name: Serve takes it for an address that proxies can reach.
        flags = {
            "--node-ip-address": NODE_ADDRESS,
            "--temp-dir": str(folder),
            "--object-store-memory": "80000000",
            "--include-log-monitor": "false",
            "--min-worker-port": "0",  # the kernel chooses
            "--max-worker-port": "0",
            "--dashboard-agent-listen-port": str(free_port()),
            "--dashboard-agent-grpc-port": str(free_port()),
            "--runtime-env-agent-port": str(free_port()),
            "--metrics-export-port": str(free_port()),
        }
        return RayNode(name, [*arguments, *_words(flags)], self._all_environment(folder) | dict(more), folder)

    def _all_environment(self, folder: Path) -> dict[str, str]:
        last = self._first_port + NUM_PORTS - 1
        return {
            **self._environment(folder),
            **self.ray_environment,
            "MANTA_HOME": str(self._home),
            "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(folder / "m.sock"),
            # Taken only once Serve runs, so not from where the kernel gives to whoever asks.
            "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(self._first_port),
            "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(last - 10),
            "RAY_SERVE_HAPROXY_METRICS_PORT": str(last),
            "RAY_SERVE_HAPROXY_STATS_PORT": str(last - 1),
            "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(last - 2),
            "SERVE_SOCKET_REUSE_PORT_ENABLED": "1",  # the proxies share their ports
            # As `manta up` has them: a stopped ingress replica is left out after four seconds.
            "RAY_SERVE_HAPROXY_HEALTH_CHECK_INTER": "1s",
            "RAY_SERVE_HAPROXY_HEALTH_CHECK_FALL": "3",
            # Serve ends the proxy of a node that is drained at the first idle moment after 30 s, when balancers have
            # long taken it out (KubeRay's probe looks every 5 s). Here the kernel is the balancer, until `DrainNode`
            # has the proxy stop listening, and that is later.
            "RAY_SERVE_PROXY_MIN_DRAINING_PERIOD_S": "300",
            # How long workers go on without a head: Ray's default is 60, KubeRay's for a head with a Redis is this.
            "RAY_gcs_rpc_server_reconnect_timeout_s": "600",
        }


def _block_of_ports() -> int:
    """The first of NUM_PORTS that are free, below those that the kernel hands out (from 32,768).

    Raises:
        CannotRun: everywhere something listens already.
    """
    for _ in range(20):
        first = 20_000 + NUM_PORTS * secrets.randbelow(60)
        if all(map(_is_free, range(first, first + NUM_PORTS))):
            return first
    raise CannotRun(f"no {NUM_PORTS} ports in a row are free between 20,000 and 32,000")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _words(flags: Mapping[str, str]) -> list[str]:
    return [word for pair in flags.items() for word in pair]
