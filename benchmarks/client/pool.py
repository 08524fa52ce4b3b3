"""Connections to one server: the one used last is used next, and another is opened when none is free.

There is no cap: a cap would hold back requests that are due, and hide from the figures what they wait for.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import ssl
import time

from benchmarks.client.connection import Connection
from benchmarks.client.exchange import Exchange
from benchmarks.client.task import WorkerTask
from benchmarks.records import Outcome


class Pool:
    """Sends exchanges.

    Args:
        addresses: of the server, resolved before the run; new connections take them in turn.
    """

    def __init__(self, task: WorkerTask, addresses: list[str]) -> None:
        self._task = task
        self._addresses = itertools.cycle(addresses)
        self._tls = ssl.create_default_context(cafile=task.ca_file) if task.scheme == "https" else None
        self._free: list[Connection] = []
        self._open: set[Connection] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._busy: dict[int, Connection] = {}  # id(exchange) -> the connection that it is on

    @property
    def num_open(self) -> int:
        return len(self._open)

    def send(self, exchange: Exchange) -> None:
        """Send now if a connection is free, else as soon as a new one is there.

        A request that met a connection which the server had closed gets a new one: the other free ones are as old.
        """
        if self._free and not exchange.is_resent:
            self._put(self._free.pop(), exchange)
        else:
            opening = asyncio.get_running_loop().create_task(self._send_on_new(exchange))
            self._opening.add(opening)
            opening.add_done_callback(self._opening.discard)

    def forget(self, exchange: Exchange) -> None:
        """An exchange is over: if it is still in flight, its connection is dropped."""
        connection = self._busy.pop(id(exchange), None)
        if connection is not None and connection.holds(exchange):
            connection.drop()

    async def close(self) -> None:
        """Drop everything; returns once nothing is being opened any more."""
        for connection in list(self._open):
            connection.drop()
        for opening in self._opening:
            opening.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)

    def _put(self, connection: Connection, exchange: Exchange) -> None:
        self._busy[id(exchange)] = connection
        connection.send(exchange)

    async def _send_on_new(self, exchange: Exchange) -> None:
        began_ns = time.perf_counter_ns()
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                self._new,
                next(self._addresses),
                self._task.port,
                ssl=self._tls,
                server_hostname=self._task.host if self._tls else None,
            )
        except (OSError, ssl.SSLError) as exc:
            exchange.end(Outcome.CONNECT, f"no connection: {exc}", time.perf_counter_ns())
            return
        self._open.add(connection)
        exchange.connect_ns = time.perf_counter_ns() - began_ns
        if exchange.is_over:  # timed out or abandoned meanwhile
            self._on_free(connection)
        else:
            self._put(connection, exchange)

    def _new(self) -> Connection:
        return Connection(self._on_free, self._on_lost, self._on_stale)

    def _on_free(self, connection: Connection) -> None:
        self._free.append(connection)

    def _on_lost(self, connection: Connection) -> None:
        self._open.discard(connection)
        if connection in self._free:
            self._free.remove(connection)

    def _on_stale(self, exchange: Exchange) -> None:
        exchange.is_resent = True
        self.send(exchange)


def resolve(host: str, port: int) -> list[str]:
    """Every address of the host, without repetitions.

    Raises:
        OSError: there is none.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
