"""Clients that behave badly, each kind as a fault: they read slowly or never, vanish, or send a byte a second.

They use sockets of their own, because no decent client can do what they do. Meanwhile the load goes on, and
its records say whether anybody else noticed.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from benchmarks.endpoints import PATHS
from benchmarks.scenarios.faults import FaultFailed
from benchmarks.target import Target

TIMEOUT_S = 60.0  # a model that sleeps has to start first
DEADLINE_S = 60  # these take their time
SMALL_BUFFER_BYTES = 4096  # of a client that does not read, so that it is felt soon


@dataclass(frozen=True, slots=True)
class SlowReaders:
    """Streams of which a byte a second is read, and others that nobody reads.

    Args:
        num_each: clients of each kind.
        num_tokens: of each stream; more than they can take.
    """

    target: Target
    num_each: int = 4
    duration_s: float = 12.0
    num_tokens: int = 4000

    @property
    def start_text(self) -> str:
        return f"{self.num_each} clients read a byte a second, {self.num_each} never read"

    def inject(self) -> str:
        num_read = 0
        with ExitStack() as stack:
            clients = [stack.enter_context(connected(self.target)) for _ in range(2 * self.num_each)]
            for client in clients:
                client.sendall(request_bytes(self.target, chat_body(self.target.model, self.num_tokens)))
            give_up = time.monotonic() + self.duration_s
            while time.monotonic() < give_up:
                time.sleep(1.0)
                for client in clients[: self.num_each]:
                    num_read += len(client.recv(1))
        if not num_read:
            raise FaultFailed("the slow readers got nothing at all")
        return f"{num_read} bytes were read in {self.duration_s:g} s, then all left"


@dataclass(slots=True)
class Vanishing:
    """Clients that leave mid-stream, each holding the only slot of a model: how long until it is free?

    Args:
        target: its model works on one sequence at a time.
        num_clients: one after the other.
        limit_s: a slot that is not free by then is lost.
        freed_ms: from the client's leaving to the next one's answer, without the answer's own time on a
            free slot.
    """

    target: Target
    num_clients: int = 20
    limit_s: float = 5.0
    freed_ms: list[float] = field(default_factory=list)

    @property
    def start_text(self) -> str:
        return f"{self.num_clients} clients leave mid-stream, one after the other"

    def inject(self) -> str:
        alone_s = min(self._ask_for_one() for _ in range(3))
        for _ in range(self.num_clients):
            with connected(self.target) as client:
                client.sendall(request_bytes(self.target, chat_body(self.target.model, 1000)))
                read_until(client, b"data: ")
            self.freed_ms.append(1000.0 * max(0.0, self._ask_for_one() - alone_s))
        ordered = sorted(self.freed_ms)
        if ordered[-1] > 1000.0 * self.limit_s:
            raise FaultFailed(f"a slot was free only {ordered[-1]:.0f} ms after its client had left")
        return f"slots were free after {ordered[len(ordered) // 2]:.0f} ms in the median, {ordered[-1]:.0f} ms at most"

    def measured(self) -> dict[str, Any]:
        return {"freed_ms": [round(value, 1) for value in self.freed_ms]}

    def _ask_for_one(self) -> float:
        """Seconds that an answer of one token takes."""
        start_s = time.monotonic()
        with connected(self.target) as client:
            client.sendall(request_bytes(self.target, chat_body(self.target.model, 1)))
            read_until(client, b"[DONE]")
        return time.monotonic() - start_s


@dataclass(frozen=True, slots=True)
class SlowBodies:
    """Requests that come a byte a second; in the end half of them come whole, and the others leave."""

    target: Target
    num_each: int = 4
    duration_s: float = 12.0

    @property
    def start_text(self) -> str:
        return f"{2 * self.num_each} clients send their request a byte a second"

    def inject(self) -> str:
        request = request_bytes(self.target, chat_body(self.target.model, 4))
        begin = request.index(b"\r\n\r\n") + 4
        with ExitStack() as stack:
            clients = [stack.enter_context(connected(self.target)) for _ in range(2 * self.num_each)]
            for client in clients:
                client.sendall(request[:begin])
            num_sent = 0
            while num_sent < self.duration_s:
                for client in clients:
                    client.sendall(request[begin + num_sent : begin + num_sent + 1])
                num_sent += 1
                time.sleep(1.0)
            patient = clients[: self.num_each]
            for client in patient:
                client.sendall(request[begin + num_sent :])
                if b"[DONE]" not in read_until(client, b"[DONE]"):
                    raise FaultFailed("a request that came slowly, but whole, was not answered")
        return f"{len(patient)} of {len(patient)} that came whole were answered, the others left"


@contextmanager
def connected(target: Target) -> Iterator[socket.socket]:
    """A connection with a small buffer; closed at the end, whatever is in flight.

    Raises:
        FaultFailed: there is none to be had, or it broke.
    """
    parts = urlsplit(target.url)
    client = socket.socket()
    try:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
        client.settimeout(TIMEOUT_S)
        client.connect((parts.hostname, parts.port or 80))
        yield client
    except OSError as exc:
        raise FaultFailed(f"{target.url}: {exc or exc.__class__.__name__}") from exc
    finally:
        client.close()


def chat_body(model: str, num_tokens: int) -> dict[str, Any]:
    return {
        "model": model,
        "messages": [{"role": "user", "content": "What glides over the reef?"}],
        "max_tokens": num_tokens,
        "stream": True,
        "seed": 0,
    }


def request_bytes(target: Target, body: dict[str, Any]) -> bytes:
    content = json.dumps(body).encode()
    parts = urlsplit(target.url)
    headers = {
        "host": parts.netloc,
        "content-type": "application/json",
        "content-length": str(len(content)),
    }
    headers |= dict(target.headers) | {"x-request-timeout-s": str(DEADLINE_S)}
    if target.api_key is not None:
        headers["authorization"] = f"Bearer {target.api_key}"
    lines = [f"POST {parts.path.rstrip('/')}{PATHS['chat']} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def read_until(client: socket.socket, mark: bytes) -> bytes:
    """What comes, up to and with the mark.

    Raises:
        FaultFailed: it is no success, or ends before.
    """
    came = b""
    while mark not in came:
        chunk = client.recv(65_536)
        if not chunk:
            raise FaultFailed(f"the answer ended early: {came[-200:].decode(errors='replace')}")
        came += chunk
        head, is_whole, body = came.partition(b"\r\n\r\n")
        status = head.split(b"\r\n", 1)[0].decode(errors="replace")
        if is_whole and " 200" not in status:
            raise FaultFailed(f"the answer was {status}: {body[:200].decode(errors='replace')}")
    return came
