"""One run, from a workload to a results folder.

Drawn before it starts, sent by worker processes, summarised from their raw records. Whatever happens in
between, what was measured is in the folder: Ctrl-C, a killed worker and a server that goes away end a
run early, and the summary says so.
"""

from __future__ import annotations

import math
import os
import secrets
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from benchmarks.client.fleet import END_GRACE_S, Fleet
from benchmarks.client.task import Entry, WorkerTask
from benchmarks.errors import BenchmarkError
from benchmarks.prompts.base import PromptSource
from benchmarks.records import ClientSample, Record, read_records, read_samples
from benchmarks.results_folder import machine, write_json
from benchmarks.run.folder import (
    lost_requests,
    merge_records,
    merge_samples,
    records_path,
    samples_path,
    write_lines,
)
from benchmarks.run.progress import Progress
from benchmarks.schedule.draw import draw
from benchmarks.schedule.planned import Schedule
from benchmarks.summary.summarise import Summary, summarise
from benchmarks.target import Target
from configs.workload import ClosedLoop, EmbeddingRequest, Workload

_ROOT = Path(__file__).resolve().parents[2]
LOOK_EVERY_S = 0.25  # at the workers
PROGRESS_EVERY_S = 1.0
# A worker was valid by its own verdict at 25,600 (800 requests/s of 32 tokens) and had half a core left at twice that:
# benchmarks/results/2026-11-21-capacity.
PIECES_PER_WORKER_PER_S = 25_000


@dataclass(frozen=True, slots=True)
class Prepared:
    """A server and what is known of it, found out once for any number of runs.

    Args:
        can_hold_length: it takes ignore_eos and min_tokens.
        found: what else a reader of the results should know of it; JSON.
    """

    target: Target
    prompts: PromptSource
    can_hold_length: bool = True
    found: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a run is made; not what it asks.

    Args:
        num_workers: processes; None: from the machine's cores and the rate.
        keep_token_times: keep when each token came in the raw records.
        keep_text: keep what the answers said in the raw records.
        sends_request_ids: in a header; some servers refuse ids that are no UUID.
        on_progress: called about once a second.
        stop_when: a reason to stop early, or None; asked about once a second.
    """

    num_workers: int | None = None
    keep_token_times: bool = True
    keep_text: bool = False
    sends_request_ids: bool = True
    on_progress: Callable[[Progress], None] | None = None
    stop_when: Callable[[Progress], str | None] | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run, with all that its folder holds."""

    folder: Path
    workload: Workload
    settings: dict[str, object]  # what run.json holds
    records: tuple[Record, ...]
    samples: tuple[ClientSample, ...]
    summary: Summary

    @property
    def was_interrupted(self) -> bool:
        """Whether somebody pressed Ctrl-C."""
        return self.settings.get("stopped_because") == INTERRUPTED


INTERRUPTED = "interrupted"


def execute(workload: Workload, prepared: Prepared, folder: Path, options: RunOptions | None = None) -> Run:
    """Make a run and write `folder`: run.json, records.jsonl, client.jsonl, summary.json.

    Ctrl-C ends the run early; the folder is complete all the same, and says so.

    Raises:
        BenchmarkError: the workload cannot be drawn, or the workers do not start. Nothing was measured.
    """
    options = options or RunOptions()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="manta-schedule-") as scratch:
        schedule = draw(
            workload,
            prepared.target.model,
            prepared.prompts,
            Path(scratch),
            can_hold_length=prepared.can_hold_length,
        )
        settings = _settings(workload, prepared, schedule, options)
        write_json(folder / "run.json", settings)
        tasks = _tasks(workload, prepared.target, schedule, Path(scratch), folder, options)
        stopped_because, faults, arrivals_end_s = _measure(schedule, tasks, workload, options)
    settings |= {"stopped_because": stopped_because, "faults": faults, "arrivals_end_s": arrivals_end_s}
    write_json(folder / "run.json", settings)
    records, samples = merge_records(folder, len(tasks)), merge_samples(folder, len(tasks))
    if faults and (lost := lost_requests(records, schedule, workload, arrivals_end_s)):
        records = (*records, *lost)
        write_lines(folder / "records.jsonl", records)
    if notes := _notes(workload, schedule, records):
        settings["notes"] = notes
        write_json(folder / "run.json", settings)
    return _summarised(folder, workload, settings, records, samples)


def read_run(folder: Path) -> Run:
    """A run from its folder; the summary is made anew from the raw records.

    Raises:
        BenchmarkError: the folder holds no run.
    """
    try:
        settings: dict[str, object] = msgspec.json.decode(
            (folder / "run.json").read_bytes(), type=dict[str, object]
        )
        workload = Workload.model_validate(settings["workload"])
        records, samples = tuple(read_records(folder)), tuple(read_samples(folder))
    except (OSError, KeyError, ValueError) as exc:
        raise BenchmarkError(f"{folder} holds no run that can be read: {exc}") from exc
    return _summarised(folder, workload, settings, records, samples)


def _summarised(
    folder: Path,
    workload: Workload,
    settings: dict[str, object],
    records: tuple[Record, ...],
    samples: tuple[ClientSample, ...],
) -> Run:
    arrivals_end_s = settings["arrivals_end_s"]
    assert isinstance(arrivals_end_s, float)
    summary = summarise(
        records,
        samples,
        workload,
        arrivals_end_s=arrivals_end_s,
        is_closed_loop=isinstance(workload.arrivals, ClosedLoop),
        faults=_texts(settings.get("faults")),
    )
    write_json(folder / "summary.json", summary.to_json())
    return Run(folder, workload, settings, records, samples, summary)


# ---------------------------------------------------------------- before


def _settings(
    workload: Workload, prepared: Prepared, schedule: Schedule, options: RunOptions
) -> dict[str, object]:
    target = prepared.target
    return {
        "time_utc": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "workload": _portable(workload.model_dump(mode="json", exclude_unset=True)),
        "target": {
            "url": target.url,
            "model": target.model,
            "header_names": [name for name, _ in target.headers],
            "has_api_key": target.api_key is not None,
            **prepared.found,
        },
        "schedule": {
            "digest": schedule.digest,
            "num_requests": len(schedule.requests),
            "duration_s": schedule.duration_s,
        },
        "num_workers": _num_workers(workload, schedule, options),
        "machine": machine(),
    }


def _portable(workload: dict[str, Any]) -> dict[str, Any]:
    """The workload's document with this project's own files as they are called in any checkout."""
    for request in workload.get("requests", ()):
        path = Path(request.get("texts") or "")
        if path.is_relative_to(_ROOT):
            request["texts"] = str(path.relative_to(_ROOT))
    return workload


def _tasks(
    workload: Workload,
    target: Target,
    schedule: Schedule,
    scratch: Path,
    folder: Path,
    options: RunOptions,
) -> list[WorkerTask]:
    url = urlsplit(target.url)
    assert url.hostname is not None
    headers = target.headers
    if target.api_key is not None:
        headers = (*headers, ("authorization", f"Bearer {target.api_key}"))
    num_workers = _num_workers(workload, schedule, options)
    run_id = secrets.token_hex(4)
    return [
        WorkerTask(
            worker=worker,
            num_workers=num_workers,
            scheme=url.scheme,
            host=url.hostname,
            port=url.port or (443 if url.scheme == "https" else 80),
            base_path=url.path.rstrip("/"),
            headers=headers,
            ca_file=target.ca_file,
            entries=tuple(
                Entry(
                    request.label, request.kind, not isinstance(request, EmbeddingRequest) and request.stream
                )
                for request in workload.requests
            ),
            schedule_folder=str(scratch),
            records_path=str(records_path(folder, worker)),
            samples_path=str(samples_path(folder, worker)),
            request_id_prefix=f"bench-{run_id}" if options.sends_request_ids else None,
            duration_s=schedule.duration_s,
            timeout_s=workload.timeout_s,
            keep_token_times=options.keep_token_times,
            concurrency=_share_of_places(workload, worker, num_workers),
            keep_text=options.keep_text,
            starts_again=not _is_counted(workload),
        )
        for worker in range(num_workers)
    ]


def _num_workers(workload: Workload, schedule: Schedule, options: RunOptions) -> int:
    """Enough processes for the busiest second, and no more than cores."""
    if options.num_workers is not None:
        return options.num_workers
    cores = os.cpu_count() or 1
    if isinstance(workload.arrivals, ClosedLoop):  # as fast as it answers, which nobody knows
        return min(workload.arrivals.concurrency, max(1, cores // 2))
    busiest: Counter[int] = Counter()  # second -> pieces of text that arrive with its requests
    for request in schedule.requests:
        if request.at_s is not None:
            busiest[int(request.at_s)] += request.num_output_tokens or 1
    return max(1, min(cores, math.ceil(max(busiest.values()) / PIECES_PER_WORKER_PER_S)))


def _is_counted(workload: Workload) -> bool:
    """Whether the run is over when a number of sessions is."""
    return isinstance(workload.arrivals, ClosedLoop) and workload.arrivals.max_sessions is not None


def _share_of_places(workload: Workload, worker: int, num_workers: int) -> int | None:
    if not isinstance(workload.arrivals, ClosedLoop):
        return None
    whole, rest = divmod(workload.arrivals.concurrency, num_workers)
    return whole + (worker < rest)


# ---------------------------------------------------------------- while it runs


def _measure(
    schedule: Schedule, tasks: Sequence[WorkerTask], workload: Workload, options: RunOptions
) -> tuple[str | None, list[str], float]:
    """(why it was stopped early, what went wrong with workers, seconds in which requests arrived)."""
    stopped_because: str | None = None
    stopped_at_s = schedule.duration_s
    with Fleet(tasks) as fleet:
        start_ns = fleet.start()
        give_up_s = schedule.duration_s + workload.timeout_s + END_GRACE_S
        watch = _Watch(schedule, options)
        while fleet.is_running:
            try:
                time.sleep(LOOK_EVERY_S)
                at_s = (time.perf_counter_ns() - start_ns) / 1e9
                reason = watch.look(at_s, fleet.new_samples())
                if at_s > give_up_s:
                    reason = f"workers did not end {END_GRACE_S:g} s after the last time-out"
            except KeyboardInterrupt:
                at_s, reason = (time.perf_counter_ns() - start_ns) / 1e9, INTERRUPTED
            if reason is not None and stopped_because is None:
                stopped_because, stopped_at_s = reason, min(at_s, schedule.duration_s)
                fleet.stop()
        watch.look(at_s, fleet.new_samples())
        if _is_counted(workload):
            stopped_at_s = min(stopped_at_s, at_s)
        faults = fleet.faults()
    return stopped_because, faults, max(0.0, stopped_at_s)


class _Watch:
    """Counts what the workers say, and hands it on about once a second."""

    def __init__(self, schedule: Schedule, options: RunOptions) -> None:
        self._schedule = schedule
        self._options = options
        self._samples: list[ClientSample] = []
        self._outcomes: Counter[str] = Counter()
        self._next_s = 0.0

    def look(self, at_s: float, new: Sequence[ClientSample]) -> str | None:
        """A reason to stop, if there is one."""
        self._samples.extend(new)
        for sample in new:
            self._outcomes.update(sample.num_outcomes)
        if at_s < self._next_s:
            return None
        self._next_s = at_s + PROGRESS_EVERY_S
        progress = self._progress(at_s)
        if self._options.on_progress is not None:
            self._options.on_progress(progress)
        return self._options.stop_when(progress) if self._options.stop_when is not None else None

    def _progress(self, at_s: float) -> Progress:
        latest = {sample.worker: sample for sample in self._samples}
        return Progress(
            at_s=at_s,
            duration_s=self._schedule.duration_s,
            num_scheduled=len(self._schedule.requests),
            num_sent=sum(sample.num_sent for sample in self._samples),
            num_ended=self._outcomes.total(),
            num_in_flight=sum(sample.num_in_flight for sample in latest.values()),
            num_outcomes=dict(self._outcomes),
            samples=tuple(self._samples),
        )


def _notes(workload: Workload, schedule: Schedule, records: Sequence[Record]) -> list[str]:
    """What a reader of the figures should know."""
    notes = []
    num_again = sum(record.is_resent for record in records)
    if num_again:
        notes.append(f"{num_again} requests were sent again, because the server had closed a kept connection")
    num_sessions = sum(request.turn == 0 for request in schedule.requests)
    if isinstance(workload.arrivals, ClosedLoop) and len(records) > len(schedule.requests):
        notes.append(f"all {num_sessions} sessions were asked more than once: prefix caches may have helped")
    return notes


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, list) else ()
