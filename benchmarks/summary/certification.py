"""Could the load tester itself explain what it reports? If more than 5 % of a headline figure: invalid.

Headline figures are p50, p95 and p99 of ttft, itl, tpot and e2e, of each entry of the mix. Every one of them is
computed twice: as measured, and without what may be the client's own doing. The difference is what the client
could explain. Taken away from each single value are

- its dispatch delay, as measured for this very request (ttft and e2e): the request left so much too late;
- the lag of its worker's event loop at the moment when the value was made (the first token's second for ttft,
  each gap's for itl, the last token's for tpot, the end's for e2e): its bytes may have lain unread so long.
  The loop is probed by a timer every 10 ms. For p50 the second's median lag is taken away, for p95 its p95 (p99
  where the worker tells no p95), for p99 its p99; and its worst lag wherever that one covers a larger part of
  the second than the percentile leaves out: a loop that stood still for 300 ms was late for 30 % of it. For tpot
  the lag is shared by all tokens after the first.

This is on the pessimistic side: for p99 every request is relieved by the lag that only 1 % of a second's moments
had. It errs the other way where the client's lateness made the server slow (a burst of late requests).

A client that is busy is a queue itself, so a worker above 90 % of a core makes a run invalid however well the
probe looks, if more than 1 % of the requests fall into such seconds. Waiting for a core is no reason by itself:
its effect is late requests and a late loop, and both are measured. It is noted.

Also invalid: workers that died or fell silent, requests that never left or left no record, a load that was lower
than stated, connections that the client's own machine refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.metrics.dispatch_delay import delay_ms
from benchmarks.records import ClientSample, Outcome, Record
from benchmarks.summary.client_lag import ClientLag
from benchmarks.summary.explained import Explained, explain

MAX_SHARE = 0.05
MAX_CPU = 0.9
MAX_BUSY = 0.01  # of the requests may fall into seconds of a busy worker
NOTABLE_WAIT = 0.1
MIN_SENT = 0.99  # of the requests that were due in the window must have left in it
MAX_SILENCE_S = 3.0
MAX_EARLY_MS = 1.0
# ENFILE, EMFILE, EADDRNOTAVAIL, ENOBUFS: the client's machine is out of files, ports or memory.
_OWN_FAULT = re.compile(r"\[Errno (23|24|99|105)\]")


@dataclass(frozen=True, slots=True)
class ClientFigures:
    """How the client itself did while the window's requests were in flight; None: not known.

    Args:
        lag_p50_ms: of the typical second of the typical worker; likewise `lag_p99_ms`.
        lag_max_ms: of all seconds and workers; likewise `cpu_max` and `cpu_wait_max`, as shares of a core.
    """

    num_workers: int
    dispatch_p50_ms: float | None
    dispatch_p99_ms: float | None
    lag_p50_ms: float | None
    lag_p99_ms: float | None
    lag_max_ms: float | None
    cpu_max: float | None
    cpu_wait_max: float | None


@dataclass(frozen=True, slots=True)
class Certification:
    """Whether the figures may be believed.

    Args:
        is_valid: no reason speaks against it.
        reasons: one line each, with numbers.
        notes: what a reader should know all the same; they do not make figures invalid.
        figures: what the client could explain of each headline figure.
        client: dispatch delay, event-loop lag and CPU.
    """

    is_valid: bool
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    figures: tuple[Explained, ...]
    client: ClientFigures


def certify(
    records: Sequence[Record],
    samples: Sequence[ClientSample] | None,
    *,
    start_s: float,
    end_s: float,
    is_closed_loop: bool,
    faults: Sequence[str] = (),
) -> Certification:
    """Judge the figures of requests that arrived in [start_s, end_s).

    Args:
        records: of the whole run.
        samples: of the whole run, of all workers; None: it was simulated, and there was no client to explain anything.
        faults: what went wrong with workers, as their parent saw it.
    """
    arrived = [record for record in records if start_s * 1e9 <= record.intended_ns < end_s * 1e9]
    if samples is None:
        nobody = _how_the_client_was((), ())
        return Certification(is_valid=True, reasons=(), notes=(), figures=(), client=nobody)
    watched = _during(samples, arrived, start_s)
    figures = explain(arrived, ClientLag(samples))
    reasons = [f"a worker failed: {fault}" for fault in faults]
    reasons += _losses(records, arrived, end_s, is_closed_loop=is_closed_loop)
    reasons += _silences(samples, records)
    reasons += [figure.text for figure in figures if figure.share > MAX_SHARE]
    reasons += _busy_workers(watched)
    return Certification(
        is_valid=not reasons,
        reasons=tuple(reasons),
        notes=tuple(_notes(arrived, watched, is_closed_loop=is_closed_loop)),
        figures=figures,
        client=_how_the_client_was(arrived, watched),
    )


def _during(samples: Sequence[ClientSample], arrived: Sequence[Record], start_s: float) -> list[ClientSample]:
    """The samples of seconds in which requests of the window were in flight."""
    last_s = max((record.end_ns for record in arrived), default=0) / 1e9
    return [sample for sample in samples if start_s < sample.at_s <= last_s + 1.0]


def _losses(
    records: Sequence[Record], arrived: Sequence[Record], end_s: float, *, is_closed_loop: bool
) -> Iterator[str]:
    """Requests that were due and did not go out as stated."""
    if not arrived:
        yield "no request arrived in the measured window"
        return
    unsent = sum(record.outcome is Outcome.INTERRUPTED and record.sent_ns is None for record in arrived)
    if unsent:
        yield f"{unsent:,} of {len(arrived):,} requests that were due never left the client"
    if not is_closed_loop:
        yield from _slips(records, arrived, end_s)
    own_faults = [record.detail for record in arrived if _is_own_fault(record)]
    if own_faults:
        yield f"{len(own_faults):,} requests failed on the client's own machine: {own_faults[0]}"


def _slips(records: Sequence[Record], arrived: Sequence[Record], end_s: float) -> Iterator[str]:
    # First turns are numbered in the order of their arrival, so all below the last known one were due.
    last = max((record.index for record in arrived if record.turn == 0), default=-1)
    known = {record.index for record in records if record.turn == 0 and record.index <= last}
    missing = last + 1 - len(known)
    if missing:
        yield f"{missing:,} requests of the schedule left no record"
    left_s = [
        (record.sent_ns - (record.connect_ns or 0)) / 1e9
        for record in arrived
        if record.sent_ns is not None and not record.is_resent
    ]
    in_time = sum(at_s < end_s for at_s in left_s)
    if in_time < MIN_SENT * len(left_s):
        yield (
            f"the schedule slipped: {in_time:,} of {len(left_s):,} requests left within the window that they were "
            f"due in, so the load was lower than stated"
        )
    early = sum(
        record.sent_ns is not None and record.sent_ns - record.intended_ns < -MAX_EARLY_MS * 1e6
        for record in arrived
    )
    if early:
        yield f"{early:,} requests left more than {MAX_EARLY_MS:g} ms before they were due"


def _is_own_fault(record: Record) -> bool:
    return record.outcome is Outcome.CONNECT and _OWN_FAULT.search(record.detail) is not None


def _silences(samples: Sequence[ClientSample], records: Sequence[Record]) -> Iterator[str]:
    """Stretches of which a worker told nothing of itself although it had requests."""
    ends_s: dict[int, float] = {}
    for record in records:
        if record.worker >= 0:
            ends_s[record.worker] = max(ends_s.get(record.worker, 0.0), record.end_ns / 1e9)
    for worker, end_s in sorted(ends_s.items()):
        told_s = sorted(sample.at_s for sample in samples if sample.worker == worker)
        if not told_s:
            yield f"worker {worker} told nothing of itself, so nothing shows that it kept up"
            continue
        silence_s = float(np.diff([0.0, *told_s, max(end_s, told_s[-1])]).max())
        if silence_s > MAX_SILENCE_S:
            yield f"worker {worker} told nothing of itself for {silence_s:.1f} s"


def _busy_workers(watched: Sequence[ClientSample]) -> Iterator[str]:
    total = sum(map(_num_touched, watched))
    busy = [sample for sample in watched if sample.cpu > MAX_CPU]
    if not total or sum(map(_num_touched, busy)) <= MAX_BUSY * total:
        return
    for worker in sorted({sample.worker for sample in busy}):
        cpu = [sample.cpu for sample in busy if sample.worker == worker]
        of_all = sum(sample.worker == worker for sample in watched)
        yield (
            f"worker {worker} used more than {MAX_CPU:.0%} of a core in {len(cpu)} of {of_all} s "
            f"({max(cpu):.0%} at most): a client that busy is a queue itself"
        )


def _num_touched(sample: ClientSample) -> int:
    return sample.num_sent + sample.num_ended


def _notes(
    arrived: Sequence[Record], watched: Sequence[ClientSample], *, is_closed_loop: bool
) -> Iterator[str]:
    if is_closed_loop:
        yield (
            "closed loop: latencies are not what users of an open service see (coordinated omission); "
            "only throughput is a result"
        )
    waits = [sample.cpu_wait for sample in watched if sample.cpu_wait is not None]
    if waits and max(waits) > NOTABLE_WAIT:
        yield f"a worker waited for a core for {max(waits):.0%} of a second; the lag that it made is in the figures"
    opened = [record.connect_ns / 1e6 for record in arrived if record.connect_ns is not None]
    if len(opened) > 0.1 * len(arrived):
        yield (
            f"{len(opened) / len(arrived):.0%} of the requests opened a connection "
            f"({float(np.median(opened)):.2f} ms at the median), which is part of ttft and e2e"
        )


def _how_the_client_was(arrived: Sequence[Record], watched: Sequence[ClientSample]) -> ClientFigures:
    delays = [delay for record in arrived if (delay := delay_ms(record)) is not None]
    waits = [sample.cpu_wait for sample in watched if sample.cpu_wait is not None]
    return ClientFigures(
        num_workers=len({sample.worker for sample in watched}),
        dispatch_p50_ms=float(np.quantile(delays, 0.5)) if delays else None,
        dispatch_p99_ms=float(np.quantile(delays, 0.99)) if delays else None,
        lag_p50_ms=float(np.median([sample.lag_p50_ms for sample in watched])) if watched else None,
        lag_p99_ms=float(np.median([sample.lag_p99_ms for sample in watched])) if watched else None,
        lag_max_ms=max((sample.lag_max_ms for sample in watched), default=None),
        cpu_max=max((sample.cpu for sample in watched), default=None),
        cpu_wait_max=max(waits, default=None),
    )
