"""What a run leaves on disk, and how it is read back.

Workers write files of their own while they measure; afterwards there is one records.jsonl and one
client.jsonl. A last line that was cut off when a worker was killed is left out, and so is nothing else.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from benchmarks.records import ClientSample, Outcome, Record
from benchmarks.schedule.planned import PlannedRequest, Schedule
from configs.workload import Workload


def records_path(folder: Path, worker: int) -> Path:
    """Where a worker writes its records."""
    return folder / f"records-{worker}.jsonl"


def samples_path(folder: Path, worker: int) -> Path:
    """Where a worker writes how it is doing itself."""
    return folder / f"client-{worker}.jsonl"


def merge_records(folder: Path, num_workers: int) -> tuple[Record, ...]:
    """One records.jsonl, in the order in which requests ended; the workers' own files go."""
    decoder = msgspec.json.Decoder(Record)
    paths = [records_path(folder, worker) for worker in range(num_workers)]
    # A worker's lines are nearly in order already: it writes them as they end.
    parts = [sorted(decoder.decode_lines(_whole_lines(path)), key=_end_ns) for path in paths]
    records = tuple(heapq.merge(*parts, key=_end_ns))
    write_lines(folder / "records.jsonl", records)
    _remove(paths)
    return records


def merge_samples(folder: Path, num_workers: int) -> tuple[ClientSample, ...]:
    """One client.jsonl, in order of time; the workers' own files go."""
    decoder = msgspec.json.Decoder(ClientSample)
    paths = [samples_path(folder, worker) for worker in range(num_workers)]
    found = [sample for path in paths for sample in decoder.decode_lines(_whole_lines(path))]
    samples = tuple(sorted(found, key=lambda sample: sample.at_s))
    write_lines(folder / "client.jsonl", samples)
    _remove(paths)
    return samples


def lost_requests(
    records: Sequence[Record], schedule: Schedule, workload: Workload, until_s: float
) -> list[Record]:
    """Records for requests that arrived before `until_s` and left none, because their worker died."""
    known = {record.index for record in records}
    return [
        _lost(request, workload)
        for request in schedule.requests
        if request.at_s is not None and request.at_s < until_s and request.index not in known
    ]


def write_lines(path: Path, lines: Iterable[msgspec.Struct]) -> None:
    """Write a .jsonl file; the old one stays until the new one is whole."""
    encoder = msgspec.json.Encoder()
    temporary = path.with_name(path.name + ".part")
    with temporary.open("wb") as file:
        for line in lines:
            file.write(encoder.encode(line) + b"\n")
    temporary.replace(path)


def _lost(request: PlannedRequest, workload: Workload) -> Record:
    assert request.at_s is not None
    intended_ns = round(request.at_s * 1e9)
    return Record(
        index=request.index,
        entry=workload.requests[request.entry].label,
        worker=-1,
        outcome=Outcome.INTERRUPTED,
        intended_ns=intended_ns,
        end_ns=intended_ns,
        detail="its worker process ended before it",
        session=request.session,
    )


def _end_ns(record: Record) -> int:
    return record.end_ns


def _whole_lines(path: Path) -> bytes:
    data = path.read_bytes() if path.exists() else b""
    return data[: data.rfind(b"\n") + 1]


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
