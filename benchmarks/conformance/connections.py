"""Cuts what connects two processes of this machine, as a network that fails would, and harms neither of them.

The kernel lends us one end of the connection (`pidfd_getfd`, Linux 5.6), and we shut it down: both sides then
see its end. That needs the right to trace the process: the same user (unless the system forbids that), or root.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.scenarios.faults import FaultFailed

_PIDFD_GETFD = 438  # the same on every architecture: linux/include/uapi/asm-generic/unistd.h
_UCRED = struct.Struct("3i")  # pid, uid, gid: what SO_PEERCRED gives, unix(7)

Address = tuple[str, int]


class ClosedMeanwhile(FaultFailed):
    """The process has closed the socket since we saw it."""


@dataclass(frozen=True, slots=True)
class End:
    """One process' end of a TCP connection."""

    pid: int
    fd: int
    local: Address
    remote: Address


def cut_connections(pid_a: int, pid_b: int) -> int:
    """Cut every connection between two processes, TCP or Unix; how many there were.

    Raises:
        FaultFailed: there is none, or they may not be cut.
    """
    tcp = list(pairs(list(ends_of(pid_a)), list(ends_of(pid_b))))
    for end in tcp:
        with lent(end.pid, end.fd) as connection:
            connection.shutdown(socket.SHUT_RDWR)
    num = len(tcp) + _cut_unix(pid_a, pid_b)
    if not num:
        raise FaultFailed(f"no connection is open between the processes {pid_a} and {pid_b}")
    return num


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


@contextmanager
def lent(pid: int, fd: int) -> Iterator[socket.socket]:
    """A socket of another process, for a moment; closing it here leaves it open there.

    Raises:
        FaultFailed: the kernel does not lend it, or it cannot be used.
    """
    try:
        process_fd = os.pidfd_open(pid)
    except OSError as exc:
        raise FaultFailed(f"process {pid}: {exc.strerror}") from exc
    try:
        lent_fd = ctypes.CDLL(None, use_errno=True).syscall(_PIDFD_GETFD, process_fd, fd, 0)
        if lent_fd < 0:
            why = ctypes.get_errno()
            kind = ClosedMeanwhile if why == errno.EBADF else FaultFailed
            raise kind(f"process {pid} does not lend its sockets: {os.strerror(why)}")
        with socket.socket(fileno=lent_fd) as connection:
            yield connection
    except OSError as exc:
        raise FaultFailed(f"a socket of process {pid}: {exc.strerror}") from exc
    finally:
        os.close(process_fd)


def _cut_unix(pid_a: int, pid_b: int) -> int:
    """Cut the Unix stream connections between them. Each end knows which process has the other (SO_PEERCRED)."""
    num = 0
    for fd in _sockets_of(pid_a):
        try:
            with lent(pid_a, fd) as connection:
                if _unix_peer(connection) == pid_b:
                    connection.shutdown(socket.SHUT_RDWR)
                    num += 1
        except ClosedMeanwhile:
            continue
    return num


def _unix_peer(connection: socket.socket) -> int | None:
    """The process at the other end; None: it is no Unix stream, or a listener."""
    if connection.family != socket.AF_UNIX or connection.type != socket.SOCK_STREAM:
        return None
    if connection.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return None
    pid: int
    pid, _, _ = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return pid


def _sockets_of(pid: int) -> list[int]:
    try:
        entries = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError as exc:  # it ended, or is another user's
        raise FaultFailed(f"cannot see the sockets of process {pid}: {exc.strerror}") from exc
    return [int(entry.name) for entry in entries if _target(entry).startswith("socket:")]


def _target(entry: Path) -> str:
    try:
        return str(entry.readlink())
    except FileNotFoundError:  # closed meanwhile
        return ""


def _address(address: object) -> Address:
    """IPv4 addresses that a dual-stack socket shows as IPv6 are the same address."""
    ip, port = str(getattr(address, "ip")), int(getattr(address, "port"))  # noqa: B009 (psutil's own type)
    return ip.removeprefix("::ffff:"), port
