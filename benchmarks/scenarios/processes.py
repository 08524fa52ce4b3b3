"""An application on this machine as its processes: the one that users start, and the replicas below it.

Knows how `manta up` and Ray name their processes; only ever looks, never ends one.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from benchmarks.errors import BenchmarkError


class NotFound(BenchmarkError):
    """The processes that were looked for are not on this machine, or are not this user's."""


def application_at(url: str) -> psutil.Process:
    """The `manta up` process whose application listens at a URL.

    Raises:
        NotFound: it is on another machine, is something else, or belongs to another user.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if not is_this_machine(host):
        raise NotFound(f"{host} is not this machine")
    listener = _listener(port)
    for process in (listener, *listener.parents()):
        if is_manta_up(_command(process)):
            return _mine(process)
    raise NotFound(f"what listens on port {port} is {listener.name()}, not an application of `manta up`")


def replicas(
    application: psutil.Process, app_name: str, deployment: str | None = None
) -> list[psutil.Process]:
    """The running replicas of an application: of one deployment, or of all of them; oldest first."""
    return below(application, lambda command: is_replica(command, app_name, deployment))


def below(root: psutil.Process, is_wanted: Callable[[Sequence[str]], bool]) -> list[psutil.Process]:
    """The running descendants of a process whose command line is wanted; oldest first."""
    try:
        descendants = root.children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    found = [process for process in descendants if is_wanted(_command(process)) and not is_gone(process)]
    return sorted(found, key=lambda process: (process.create_time(), process.pid))


def is_gone(process: psutil.Process) -> bool:
    """Whether it has ended; one that nobody has asked for its exit code counts as ended."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def deployment_of(model: str) -> str:
    """What the deployment of a chat model is called."""
    return f"Model-{model.replace('/', '-')}"


def is_replica(command: Sequence[str], app_name: str, deployment: str | None) -> bool:
    """Whether a process' command line is the title that Ray gives a replica.

    It is `ray::ServeReplica:APP:DEPLOYMENT`, with `.METHOD` after it while a method runs.
    """
    prefix = f"ray::ServeReplica:{app_name}:"
    title = command[0].strip() if command else ""
    if not title.startswith(prefix):
        return False
    if deployment is None:
        return True
    rest = title.removeprefix(prefix)
    method = rest.removeprefix(f"{deployment}.")
    return rest == deployment or (method != rest and method.isidentifier())


def is_manta_up(command: Sequence[str]) -> bool:
    """Whether a command line is `manta up ...` or `python -m manta up ...`."""
    return any(Path(word).name == "manta" and following == "up" for word, following in pairwise(command))


def is_this_machine(host: str) -> bool:
    """Whether a host name or address is one of this machine's own. Asks no name server."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    own = {entry.address.partition("%")[0] for entries in psutil.net_if_addrs().values() for entry in entries}
    return address.is_loopback or str(address) in own


def _command(process: psutil.Process) -> list[str]:
    """Its command line; nothing of one that ended while it was looked at, or is another user's."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _listener(port: int) -> psutil.Process:
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied as exc:
        raise NotFound(f"this user may not see who listens on port {port}") from exc
    for connection in connections:
        listens_there = connection.status == psutil.CONN_LISTEN and connection.laddr[1:2] == (port,)
        if listens_there and connection.pid:
            return psutil.Process(connection.pid)
    raise NotFound(f"no process of this user listens on port {port}")


def _mine(process: psutil.Process) -> psutil.Process:
    if process.uids().real != os.getuid():
        raise NotFound(f"process {process.pid} belongs to {process.username()}")
    return process
