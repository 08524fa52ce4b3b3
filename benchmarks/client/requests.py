"""Requests as bytes: the head that all requests of an entry share, and the bodies of later turns."""

from __future__ import annotations

from typing import Any

import msgspec

from benchmarks.client.task import Entry, WorkerTask
from benchmarks.endpoints import PATHS


class RequestWriter:
    """Writes the requests of one entry of the mix."""

    def __init__(self, task: WorkerTask, entry: Entry) -> None:
        host = f"[{task.host}]" if ":" in task.host else task.host
        lines = [
            f"POST {task.base_path}{PATHS[entry.kind]} HTTP/1.1",
            f"host: {host}:{task.port}",
            "user-agent: manta-bench",
            f"accept: {'text/event-stream' if entry.is_stream else 'application/json'}",
            "content-type: application/json",
            *(f"{name}: {value}" for name, value in task.headers),
        ]
        self._head = "\r\n".join(lines).encode()
        if task.request_id_prefix is not None:
            self._head += f"\r\nx-request-id: {task.request_id_prefix}-".encode()
        self._has_id = task.request_id_prefix is not None

    def write(self, index: int, body: bytes) -> bytes:
        """Head and body; the request id, if there is one, is the prefix of the run and the request's index."""
        number = b"%d" % index if self._has_id else b""
        return b"%b%b\r\ncontent-length: %d\r\n\r\n%b" % (self._head, number, len(body), body)


def next_turn(body: bytes, answer: str, question: bytes) -> bytes:
    """The body of a session's next turn: the conversation so far, the answer that came, the next question."""
    document: dict[str, Any] = msgspec.json.decode(body)
    document["messages"] = [
        *document["messages"],
        {"role": "assistant", "content": answer},
        {"role": "user", "content": question.decode()},
    ]
    return msgspec.json.encode(document)
