"""Whether a tool sustained a rate honestly, by what the server saw and what the tool said; the same for all.

It did if every request arrived and was answered, at 99 % of the rate or more; if 99 % of the arrivals were
late by less than the bound; and if the ttft that it reports (p50 and p95) is the truth as served, within 5 % or
1 ms. The first second is left out of lateness: every tool opens its connections there.

A point that fails while the server itself was late by more than half the bound is void: it says nothing about
the tool.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.peers.measure import Measured
from benchmarks.peers.truth import Truth, percentile

MIN_RATE_SHARE = 0.99
MAX_TTFT_ERROR = 0.05
MAX_TTFT_ERROR_MS = 1.0
START_S = 1.0
FAR = 3.0  # a miss by more than this factor is not tried again


@dataclass(frozen=True, slots=True)
class Judgement:
    """One run against one bound.

    Args:
        reasons: why it is not honest, a line each, the worst first.
        is_void: it is not, but the server was at its limit.
        is_far: it missed by so much that another try would not tell more.
    """

    is_honest: bool
    reasons: tuple[str, ...]
    is_void: bool
    is_far: bool


def judge(measured: Measured, bound_ms: float) -> Judgement:
    """Judge a run."""
    if measured.failure is not None or measured.truth is None:
        why = measured.failure or "no request arrived at the server"
        return Judgement(is_honest=False, reasons=(why,), is_void=False, is_far=True)
    faults = sorted(_faults(measured, measured.truth, bound_ms), key=lambda fault: fault.factor, reverse=True)
    server_late_ms = measured.server_late_p99_ms
    is_void = bool(faults) and server_late_ms is not None and server_late_ms > bound_ms / 2
    reasons = [fault.text for fault in faults]
    if is_void:
        reasons.append(f"void: the server itself was late by {server_late_ms:.2f} ms at p99")
    return Judgement(
        is_honest=not faults,
        reasons=tuple(reasons),
        is_void=is_void,
        is_far=any(fault.factor > FAR for fault in faults),
    )


def late_p99_ms(truth: Truth, rate_rps: float) -> float | None:
    """Lateness of the arrivals, without the first second."""
    return percentile(truth.late_ms[round(rate_rps * START_S) :], 99)


@dataclass(frozen=True, slots=True)
class _Fault:
    text: str
    factor: float  # by how much the limit was missed


def _faults(measured: Measured, truth: Truth, bound_ms: float) -> Iterator[_Fault]:
    load, reported = measured.load, measured.reported
    assert reported is not None
    missing = truth.num_due - truth.num_arrived
    if missing:
        yield _Fault(f"{missing} of {truth.num_due} requests never arrived", 1 + missing)
    if reported.num_failed:
        yield _Fault(f"{reported.num_failed} requests failed, as it says", 1.0)
    share = (truth.rate_rps or 0.0) / load.rate_rps
    if share < MIN_RATE_SHARE:
        yield _Fault(f"{share:.1%} of the rate arrived", (1 - share) / (1 - MIN_RATE_SHARE))
    late_ms = late_p99_ms(truth, load.rate_rps)
    if late_ms is None or late_ms >= bound_ms:
        text = "nothing" if late_ms is None else f"{late_ms:.2f} ms"
        yield _Fault(f"arrivals were late by {text} at p99", (late_ms or 0.0) / bound_ms)
    for name, percent, said in (("p50", 50, reported.ttft_p50_ms), ("p95", 95, reported.ttft_p95_ms)):
        true_ms = percentile(truth.wait_ms, percent)
        assert true_ms is not None
        allowed_ms = max(MAX_TTFT_ERROR * true_ms, MAX_TTFT_ERROR_MS)
        if said is None or abs(said - true_ms) > allowed_ms:
            text = "nothing" if said is None else f"{said:.1f} ms"
            factor = FAR + 1 if said is None else abs(said - true_ms) / allowed_ms
            yield _Fault(f"it says {text} for ttft {name}, the truth is {true_ms:.1f} ms", factor)
