"""What a worker process is told on its standard input, and where it writes: the seam between parent and worker."""

from __future__ import annotations

from pathlib import Path

import msgspec

from benchmarks.endpoints import Kind


class Entry(msgspec.Struct, frozen=True):
    """One entry of the workload's mix, as the wire sees it."""

    label: str
    kind: Kind
    is_stream: bool


class WorkerTask(msgspec.Struct, frozen=True):
    """All that a worker needs. It carries the API key, so it travels by pipe and is never written down.

    `records_path` and `samples_path` are the worker's own; it appends whole lines.
    """

    worker: int
    num_workers: int
    scheme: str  # http | https
    host: str
    port: int
    base_path: str  # before /v1, such as "/proxy"; mostly empty
    headers: tuple[tuple[str, str], ...]
    ca_file: str | None
    entries: tuple[Entry, ...]
    schedule_folder: str
    records_path: str
    samples_path: str
    request_id_prefix: str | None  # None: requests have no id
    duration_s: float
    timeout_s: float
    keep_token_times: bool
    concurrency: int | None = None  # this worker's share of a closed loop; None: an open loop
    keep_text: bool = False  # write down what the answers said
    starts_again: bool = True  # a closed loop that has sent all its sessions sends them again

    @property
    def folder(self) -> Path:
        """Where the schedule lies."""
        return Path(self.schedule_folder)


# Lines of the conversation. Parent: the task (JSON), then "start NS" (monotonic). Worker: "ready", then at the
# end "done" or "failed WHY". A closed standard input means that the parent is gone: the worker stops.
READY = "ready"
DONE = "done"
FAILED = "failed"
