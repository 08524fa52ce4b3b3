"""Cuts what connects two processes of this machine, as a network that fails would, and harms neither of them.

The kernel lends us one end of the connection (`pidfd_getfd`, Linux 5.6), and we shut it down: both sides then
see its end. That needs the right to trace the process: the same user (unless the system forbids that), or root.
"""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import psutil

from benchmarks.scenarios.faults import FaultFailed

_PIDFD_GETFD = 438  # the same on every architecture: linux/include/uapi/asm-generic/unistd.h

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class End:
    """One process' end of a TCP connection."""

    pid: int
    fd: int
    local: Address
    remote: Address


def cut_connections(pid_a: int, pid_b: int) -> int:
    """Cut every TCP connection between two processes; how many there were.

    Raises:
        FaultFailed: there is none, or they may not be cut.
    """
    between = list(pairs(list(ends_of(pid_a)), list(ends_of(pid_b))))
    if not between:
        raise FaultFailed(f"no TCP connection is open between the processes {pid_a} and {pid_b}")
    for end in between:
        shut_down(end)
    return len(between)


def ends_of(pid: int) -> Iterator[End]:
    """The ends of open TCP connections that a process holds.

    Raises:
        FaultFailed: it is gone, or this user may not look.
    """
    try:
        connections = psutil.Process(pid).net_connections("tcp")
    except psutil.Error as exc:
        raise FaultFailed(f"cannot see the connections of process {pid}: {exc}") from exc
    for connection in connections:
        if connection.status == psutil.CONN_ESTABLISHED and connection.fd >= 0:
            yield End(pid, connection.fd, _address(connection.laddr), _address(connection.raddr))


def pairs(ends_a: list[End], ends_b: list[End]) -> Iterator[End]:
    """Of the first list, the ends whose other end is in the second."""
    others = {(end.remote, end.local) for end in ends_b}
    return (end for end in ends_a if (end.local, end.remote) in others)


def shut_down(end: End) -> None:
    """Shut down a connection through one of its ends.

    Raises:
        FaultFailed: the kernel does not lend it.
    """
    try:
        process_fd = os.pidfd_open(end.pid)
    except OSError as exc:
        raise FaultFailed(f"process {end.pid}: {exc.strerror}") from exc
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        lent_fd = libc.syscall(_PIDFD_GETFD, process_fd, end.fd, 0)
        if lent_fd < 0:
            raise FaultFailed(
                f"process {end.pid} does not lend its connections: {os.strerror(ctypes.get_errno())}"
            )
        with socket.socket(fileno=lent_fd) as lent:
            lent.shutdown(socket.SHUT_RDWR)
    except OSError as exc:
        raise FaultFailed(f"cannot cut a connection of process {end.pid}: {exc.strerror}") from exc
    finally:
        os.close(process_fd)


def _address(address: object) -> Address:
    """IPv4 addresses that a dual-stack socket shows as IPv6 are the same address."""
    ip, port = str(getattr(address, "ip")), int(getattr(address, "port"))  # noqa: B009 (psutil's own type)
    return ip.removeprefix("::ffff:"), port
