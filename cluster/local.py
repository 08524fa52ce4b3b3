"""The application on this machine: a Ray of its own, Serve, and nothing left behind.

It never joins a Ray that is already running here, and stops only what it started. Serve's fast path
(HAProxy and the throughput mode) is chosen by environment variables that Serve's processes read when
they start, so they are set before Ray is imported; docs/decisions/0003 has the figures.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

from cluster import loopback
from cluster.serve_variables import SERVE_VARIABLES, haproxy_threads
from configs.load import Profile
from configs.ports import free_port
from configs.schema import VllmModel
from serve_app.engines.vllm.devices import CudaDevice, device_of
from serve_app.errors import ConfigError
from serve_app.health.reasons import last_line

CLOSE_TIMEOUT_S = 10.0  # for replicas to close their engines, before Ray's shutdown ends them
END_TIMEOUT_S = 5.0  # for processes that are asked to end, before they are killed

# What a local run prints goes through `on_states`; Ray's and Serve's own lines are in Ray's logs.
_QUIET = ("ray", "ray.serve", "manta")


class LocalApplication:
    """One application with the Ray that it runs on."""

    def __init__(self, profile: Profile, *, dashboard: bool = False) -> None:
        self._profile = profile
        self._dashboard = dashboard
        self._folder: Path | None = None
        self._num_cpus = max(os.cpu_count() or 1, _reserved_cpus(profile))

    @property
    def url(self) -> str:
        return f"http://{self._profile.host}:{self._profile.port}"

    def start(self, on_states: Callable[[Mapping[str, str]], None] = lambda _: None) -> None:
        """Start everything and return once every deployment runs.

        Args:
            on_states: is called with deployment -> state whenever one changes.

        Raises:
            ConfigError: the port is taken, or a deployment cannot start; the message says why.
        """
        require_free_port(self._profile.host, self._profile.port)
        require_devices(self._profile)
        # Short, because Ray puts Unix sockets there and their paths may have 107 characters.
        self._folder = Path(tempfile.mkdtemp(prefix="manta-"))
        os.environ.update(serve_environment(self._folder) | loopback.ray_variables(self._profile.host))

        import ray
        from ray import serve

        on_sigterm = signal.getsignal(signal.SIGTERM)
        ray.init(
            address="local",
            num_cpus=self._num_cpus,
            include_dashboard=self._dashboard,
            log_to_driver=False,
            logging_level=logging.ERROR,
            _temp_dir=str(self._folder),
        )
        signal.signal(signal.SIGTERM, on_sigterm)  # Ray puts a handler of its own there
        for name in _QUIET:
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            serve.start(
                http_options={"host": self._profile.host, "port": self._profile.port},
                proxy_location="HeadOnly",
            )
        except (ray.exceptions.RayError, RuntimeError) as exc:
            raise ConfigError(f"Serve cannot start: {last_line(str(exc))}") from exc
        self._deploy(self._profile, on_states)

    def update(
        self, profile: Profile, on_states: Callable[[Mapping[str, str]], None] = lambda _: None
    ) -> None:
        """Replace every replica by one of `profile`, one after the other, while the application serves.

        Returns once the last one is replaced; they are, whether the profile differs or not. If one of the
        new ones cannot start, the profile that ran before is deployed again.

        Raises:
            ConfigError: the profile cannot be had without a restart, or a deployment cannot start.
        """
        why_not = restart_reason(self._profile, profile, self._num_cpus)
        if why_not is not None:
            raise ConfigError(why_not)
        try:
            self._deploy(profile, on_states)
        except ConfigError:
            self._deploy(self._profile, on_states)
            raise
        self._profile = profile

    def stop(self) -> None:
        """Stop what `start` started; returns when the processes are gone. Stopping twice is fine.

        Who interrupts it (a second Ctrl-C) has the processes asked to end at once, instead of their requests first;
        who interrupts that too has them killed.
        """
        try:
            self._stop_in_order()
        finally:
            if self._folder is not None:
                try:
                    _end_processes_of(self._folder)
                finally:
                    shutil.rmtree(self._folder, ignore_errors=True)
                    self._folder = None

    def _stop_in_order(self) -> None:
        import ray
        from ray import serve

        if ray.is_initialized():
            # Deleting first lets replicas close their engines; Ray's own shutdown would just kill them.
            self._close_replicas(serve)
            # HAProxy is Ray's to end, and first all the same: on a machine that is starved Ray can end this process
            # in its shutdown, for the GCS that it has just ended itself, and the port would stay taken.
            if self._folder is not None:
                _end_processes_of(self._folder, "haproxy")
            ray.shutdown()

    def memory_bytes(self) -> int:
        """Memory of all processes of this application, shared pages counted once (PSS)."""
        return sum(_pss_bytes(process) for process in _family())

    def _deploy(self, profile: Profile, on_states: Callable[[Mapping[str, str]], None]) -> None:
        from ray import serve

        from serve_app.app import build

        application = build(profile.platform.model_dump(exclude_unset=True))
        failure: list[Exception] = []

        def deploy() -> None:
            try:
                # Serve gives every deployment a new version each time, so that each replica is replaced.
                serve.run(application, name=profile.app_name, route_prefix=profile.route_prefix)
            except Exception as exc:  # noqa: BLE001 (carried to the caller's thread)
                failure.append(exc)

        thread = threading.Thread(target=deploy, name="deploy", daemon=True)
        thread.start()
        seen: dict[str, str] = {}
        while thread.is_alive():
            thread.join(timeout=0.2)
            states = self._states(serve)
            if states != seen:
                seen = states
                on_states(states)
        if failure:
            raise ConfigError(self._why(serve, failure[0])) from failure[0]

    def _close_replicas(self, serve: Any) -> None:
        give_up = time.monotonic() + CLOSE_TIMEOUT_S
        serve.delete(self._profile.app_name, _blocking=False)
        while self._states(serve) and time.monotonic() < give_up:
            time.sleep(0.05)

    def _states(self, serve: Any) -> dict[str, str]:
        application = serve.status().applications.get(self._profile.app_name)
        if application is None:
            return {}
        return {name: str(deployment.status.value) for name, deployment in application.deployments.items()}

    def _why(self, serve: Any, failure: Exception) -> str:
        """The reason that a deployment gave, on one line; else what Serve said."""
        application = serve.status().applications.get(self._profile.app_name)
        texts = [deployment.message for deployment in application.deployments.values()] if application else []
        for text in texts:
            reason = last_line(text)
            if reason:
                return reason
        return last_line(str(failure)) or str(failure)


def serve_environment(folder: Path) -> dict[str, str]:
    """What Serve's processes need for its fast path, with every file and port of HAProxy our own.

    HAProxy's front end and the replicas bind the profile's host; its statistics bind loopback.
    """
    return {
        **SERVE_VARIABLES,
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(loopback.haproxy(folder)),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "haproxy.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "haproxy-state"),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(free_port()),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(free_port()),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(free_port()),
        # How long an ingress replica that was replaced stays reachable; 30 by default, for load balancers that
        # are slower to notice than HAProxy on the same machine.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "10",
        "RAY_SERVE_HAPROXY_NBTHREAD": haproxy_threads(os.cpu_count() or 1),
    }


def restart_reason(running: Profile, wanted: Profile, num_cpus: int) -> str | None:
    """Why the one cannot become the other on a Ray of `num_cpus` without a restart; None: it can."""
    for name in ("app_name", "route_prefix", "host", "port"):
        if getattr(running, name) != getattr(wanted, name):
            return f"{wanted.path}: {name} changed, which needs a restart"
    if _reserved_cpus(wanted) > num_cpus:
        return (
            f"{wanted.path}: needs {_reserved_cpus(wanted)} CPUs and Ray was started with {num_cpus}, "
            "which needs a restart"
        )
    return None


def require_free_port(host: str, port: int) -> None:
    """Raise ConfigError if something else listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as exc:
            holder = _listener(port)
            raise ConfigError(
                f"cannot listen on {host}:{port}: {exc.strerror}{holder}; choose another with --port"
            ) from exc


def require_devices(profile: Profile) -> None:
    """Raise ConfigError if a model wants devices that this machine has not: Ray would wait for them for ever."""
    models = [model for model in profile.platform.models if isinstance(model, VllmModel)]
    for model in models:
        device_of(model).check(model)
    CudaDevice().check_together([model for model in models if model.device == "cuda"])


def _listener(port: int) -> str:
    """Who listens there, as far as this user may know."""
    try:
        for connection in psutil.net_connections("tcp"):
            listens_there = connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,)
            if listens_there and connection.pid:
                return f" (by {psutil.Process(connection.pid).name()}, process {connection.pid})"
    except psutil.Error:
        pass
    return ""


def _end_processes_of(folder: Path, name: str = "") -> None:
    """End what Ray's shutdown left: HAProxy is a child of a replica, and outlives one that was killed.

    With a name, only what is called so; without, what they started as well, for Ray's workers have other names.
    """
    of_folder = [
        process for process in psutil.process_iter(["name", "cmdline"]) if str(folder) in _words(process)
    ]
    left = {process for process in of_folder if process.info["name"] == name or not name}
    for process in of_folder if not name else ():
        with contextlib.suppress(psutil.NoSuchProcess):
            left.update(process.children(recursive=True))
    try:
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()
        psutil.wait_procs(left, timeout=END_TIMEOUT_S)
    finally:
        # Nor is another process killed that has the number of one of them by now: psutil looks.
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def _words(process: psutil.Process) -> str:
    return " ".join(process.info["cmdline"] or ())


def _reserved_cpus(profile: Profile) -> int:
    """CPUs that Ray must believe in, however small the machine: for every first replica, and for one more
    of the largest, which an update starts before it stops the old one."""
    platform = profile.platform
    scalings = [model.scaling for model in platform.models]
    scalings += [platform.embedder.scaling, platform.knowledge.scaling]
    scalings += [platform.agent.scaling, platform.ingress.scaling]
    first = sum(max(1, scaling.min_replicas) * scaling.num_cpus for scaling in scalings)
    return math.ceil(first + max(1.0, *(scaling.num_cpus for scaling in scalings)))


def _family() -> list[psutil.Process]:
    me = psutil.Process()
    return [me, *me.children(recursive=True)]


def _pss_bytes(process: psutil.Process) -> int:
    try:
        full = process.memory_full_info()
    except psutil.Error:
        return 0
    return int(getattr(full, "pss", full.uss))
