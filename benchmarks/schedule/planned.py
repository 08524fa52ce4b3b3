"""The schedule on disk: every request of a run with its arrival and its body, before the first one leaves.

`schedule.jsonl` has one PlannedRequest a line, in the order of their index; `bodies.bin` has their bodies
one after the other, so that a worker sends slices of a memory map and makes nothing while it measures.
The digest over both files is the schedule's identity: the same workload, seed and model give the same one.
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec


class PlannedRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """One request of a schedule.

    The first turn of a session (most sessions have one) arrives at `at_s`. A later turn has none: it is due
    `think_s` after the end of the turn before, and its body is only the new user message (UTF-8 text).
    In a closed loop nobody has an `at_s`: sessions are taken in order as places become free.
    """

    index: int  # 0, 1, 2, ... in the order of arrival; later turns after all first turns
    entry: int  # position in workload.requests
    body_offset: int
    body_bytes: int
    at_s: float | None = None  # intended arrival, seconds after the run's start
    session: int = 0  # sessions are numbered by their first turn's index
    turn: int = 0
    num_turns: int = 1
    think_s: float = 0.0
    num_prompt_tokens: int | None = None  # as planned; None where nothing says
    num_output_tokens: int | None = None
    abandon_after_s: float | None = None  # after the intended arrival


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule's files and what they say in short."""

    folder: Path
    requests: tuple[PlannedRequest, ...]
    duration_s: float  # first turns arrive in [0, duration_s)
    digest: str  # sha256 over schedule.jsonl, then bodies.bin; hex

    @property
    def bodies_path(self) -> Path:
        return self.folder / "bodies.bin"


class Bodies:
    """The bodies of a schedule, memory-mapped. Close it when done."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        # An empty file cannot be mapped; a schedule always has at least one body.
        self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)

    def of(self, request: PlannedRequest) -> bytes:
        return self._map[request.body_offset : request.body_offset + request.body_bytes]

    def close(self) -> None:
        self._map.close()
        self._file.close()


def write_schedule(
    folder: Path, requests: Iterable[tuple[PlannedRequest, bytes]], duration_s: float
) -> Schedule:
    """Write both files; offsets and sizes are set here, whatever the requests say.

    Raises:
        ValueError: there is no request.
        OSError: the disk is full, for example.
    """
    folder.mkdir(parents=True, exist_ok=True)
    planned: list[PlannedRequest] = []
    lines = hashlib.sha256()
    bodies = hashlib.sha256()
    offset = 0
    with (
        (folder / "schedule.jsonl").open("wb") as schedule_file,
        (folder / "bodies.bin").open("wb") as body_file,
    ):
        for request, body in requests:
            placed = msgspec.structs.replace(request, body_offset=offset, body_bytes=len(body))
            offset += len(body)
            line = msgspec.json.encode(placed) + b"\n"
            schedule_file.write(line)
            body_file.write(body)
            lines.update(line)
            bodies.update(body)
            planned.append(placed)
    if not planned:
        raise ValueError("a schedule needs at least one request")
    digest = hashlib.sha256(lines.digest() + bodies.digest()).hexdigest()
    return Schedule(folder, tuple(planned), duration_s, digest)


def read_requests(folder: Path) -> tuple[PlannedRequest, ...]:
    """The requests of a written schedule."""
    lines = (folder / "schedule.jsonl").read_bytes()
    return tuple(msgspec.json.Decoder(PlannedRequest).decode_lines(lines))
