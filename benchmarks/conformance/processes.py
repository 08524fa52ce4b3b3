"""How Ray and HAProxy name the processes of an application: pure looks at command lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.scenarios.processes import is_replica

Command = Sequence[str]


def is_any_replica(command: Command) -> bool:
    return _title(command).startswith("ray::ServeReplica:")


def is_replica_of(app_name: str, deployment: str) -> Callable[[Command], bool]:
    return lambda command: is_replica(command, app_name, deployment)


def is_controller(command: Command) -> bool:
    return _title(command).startswith("ray::ServeController")


def is_haproxy(command: Command) -> bool:
    """HAProxy itself, not the actor that starts it."""
    return bool(command) and Path(command[0]).name == "haproxy"


def is_python_proxy(command: Command) -> bool:
    """Serve's own proxy, where no HAProxy is used. One more runs on the head beside HAProxy."""
    return _title(command).startswith("ray::ProxyActor")


def _title(command: Command) -> str:
    return command[0].strip() if command else ""
