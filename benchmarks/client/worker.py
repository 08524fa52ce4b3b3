"""A worker process: `python -m benchmarks.client.worker`, told what to do on its standard input.

It reads the schedule, waits for the common start, sends its share of the requests, and appends what it
measures to its own files. It stops when its parent says so, or is gone.
"""

from __future__ import annotations

import asyncio
import gc
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from benchmarks.client.exchange import Exchange
from benchmarks.client.journal import Journal
from benchmarks.client.pool import Pool, resolve
from benchmarks.client.sender import Sender
from benchmarks.client.task import DONE, FAILED, READY, WorkerTask
from benchmarks.client.vitals import Vitals
from benchmarks.records import ClientSample, Record
from benchmarks.schedule.planned import Bodies, PlannedRequest, read_requests

SAMPLE_EVERY_NS = 1_000_000_000


class Worker:
    """One worker's run."""

    def __init__(
        self,
        task: WorkerTask,
        requests: list[PlannedRequest],
        records: Journal,
        samples: Journal,
        start_ns: int,
    ) -> None:
        self._task = task
        self._records = records
        self._samples = samples
        self._start_ns = start_ns
        self._requests = requests
        self._outcomes: Counter[str] = Counter()
        self._ttft_ms: list[float] = []
        self._num_sent = 0
        self.fault: str | None = None  # of our own, not the server's

    async def run(self, bodies: Bodies, addresses: list[str]) -> None:
        """Returns when every request has ended, on SIGTERM, when the parent is gone, or on a fault of ours."""
        loop = asyncio.get_running_loop()
        pool = Pool(self._task, addresses)
        sender = Sender(self._task, self._requests, bodies, pool, self._start_ns, self._take)
        loop.set_exception_handler(lambda _, context: self._fail(sender, context))
        loop.add_signal_handler(signal.SIGTERM, sender.stop)
        loop.add_reader(sys.stdin.fileno(), sender.stop)  # nothing more comes on it, so it is its end
        vitals = Vitals(loop, self._start_ns)
        sender.start()
        sampling = loop.create_task(self._sample_every_second(sender, pool, vitals))
        await sender.is_done.wait()
        sampling.cancel()
        await asyncio.gather(sampling, return_exceptions=True)
        vitals.close()
        await pool.close()
        self._sample(sender, pool, vitals)

    def _fail(self, sender: Sender, context: dict[str, Any]) -> None:
        """An exception that nobody took: what it would have measured is lost, so the run is over."""
        if self.fault is None:
            self.fault = f"{context['message']}: {context.get('exception')!r}"
            traceback.print_exception(context.get("exception"))
            sender.stop()

    def _take(self, exchange: Exchange) -> None:
        record: Record = exchange.record(
            self._task.worker,
            self._start_ns,
            keep_token_times=self._task.keep_token_times,
            keep_text=self._task.keep_text,
        )
        self._records.add(record)
        self._outcomes[record.outcome] += 1
        if record.first_token_ns is not None:
            self._ttft_ms.append((record.first_token_ns - record.intended_ns) / 1e6)

    async def _sample_every_second(self, sender: Sender, pool: Pool, vitals: Vitals) -> None:
        due_ns = max(self._start_ns, time.perf_counter_ns())
        while True:
            due_ns += SAMPLE_EVERY_NS
            await asyncio.sleep(max(0.0, (due_ns - time.perf_counter_ns()) / 1e9))
            self._sample(sender, pool, vitals)

    def _sample(self, sender: Sender, pool: Pool, vitals: Vitals) -> None:
        cpu, cpu_wait, lags = vitals.take()
        outcomes, self._outcomes = self._outcomes, Counter()
        ttft_ms, self._ttft_ms = self._ttft_ms, []
        num_sent, self._num_sent = sender.num_sent - self._num_sent, sender.num_sent
        lags.sort()
        sample = ClientSample(
            worker=self._task.worker,
            at_s=(time.perf_counter_ns() - self._start_ns) / 1e9,
            num_sent=num_sent,
            num_ended=outcomes.total(),
            num_in_flight=sender.num_in_flight,
            num_connections=pool.num_open,
            cpu=cpu,
            cpu_wait=cpu_wait,
            lag_max_ms=lags[-1],
            lag_p50_ms=lags[len(lags) // 2],
            lag_p95_ms=lags[len(lags) * 95 // 100],
            lag_p99_ms=lags[len(lags) * 99 // 100],
            num_outcomes=dict(outcomes),
            ttft_ms=[round(value, 3) for value in ttft_ms],
        )
        self._samples.add(sample)
        self._records.flush()
        self._samples.flush()


def main() -> None:
    """The conversation with the parent; see `task`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    task = msgspec.json.decode(sys.stdin.readline(), type=WorkerTask)
    _allow_many_connections()
    try:
        addresses = resolve(task.host, task.port)
    except OSError as exc:
        print(f"{FAILED} {task.host}: {exc}", flush=True)
        return
    requests = _share(task)
    bodies = Bodies(task.folder / "bodies.bin")
    print(READY, flush=True)
    word, _, start = sys.stdin.readline().partition(" ")
    if word != "start":
        return  # the parent is gone
    # What exists now stays until the end; what comes has no cycles. The collector would only stop the loop.
    gc.collect()
    gc.freeze()
    gc.disable()
    with Journal(Path(task.records_path)) as records, Journal(Path(task.samples_path)) as samples:
        worker = Worker(task, requests, records, samples, int(start))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(worker.run(bodies, addresses))
        records.flush()
        fault = f"its records could not be written: {records.fault}" if records.fault else worker.fault
    bodies.close()
    print(f"{FAILED} {' '.join(fault.split())}" if fault else DONE, flush=True)


def _share(task: WorkerTask) -> list[PlannedRequest]:
    """This worker's sessions: dealt out one by one, so that every worker sends at the same rate."""
    everything = read_requests(task.folder)
    dealt: dict[int, int] = {}  # session -> worker
    for request in everything:
        if request.turn == 0:
            dealt[request.session] = len(dealt) % task.num_workers
    return [request for request in everything if dealt[request.session] == task.worker]


def _allow_many_connections() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    main()
