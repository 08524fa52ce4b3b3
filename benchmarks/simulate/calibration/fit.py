"""A service model from measurements: how long steps take, and what the way to the engine adds.

Calibrated on one replica, from runs in which nobody waits for a place: one request at a time with prompts
of many lengths, then several at a time. Per request two things are known:

    ttft     = overhead + ceil(prompt / max_batched_tokens) * step + prompt * prefill
    duration = (tokens - 1) * step + sum over its steps of (running * per_running) + read * prefill

`duration` is from the first token to the last, `running` the sequences in the batch and `read` the tokens
of other prompts that were read meanwhile; both follow from the records of the same run. Step, per_running,
prefill and the overhead's mean are fitted together by least squares, the second equation per token; the
overhead's distribution is what is left of the ttft of the requests that were alone.

Knows nothing of servers: it takes records.
"""

from __future__ import annotations

import statistics
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from benchmarks.errors import BenchmarkError
from benchmarks.records import Outcome, Record
from configs.simulation import ServiceModel

NUM_OVERHEADS = 50  # values that stand for the overhead's distribution
MIN_ALONE = 20


class Fit(msgspec.Struct, frozen=True):
    """How well the fitted times explain the measured ones."""

    num_requests: int
    ttft_residual_p50_ms: float  # of requests that were alone; absolute
    ttft_residual_p95_ms: float
    tpot_residual_p50_ms: float  # of all
    tpot_residual_p95_ms: float
    tpot_residual_mean_share: float  # of the mean tpot, with its sign


@dataclass(frozen=True, slots=True)
class Calibration:
    """A fitted service model, and how well it fits."""

    service: ServiceModel
    fit: Fit


def calibrate(
    alone: Sequence[Record],
    together: Sequence[Sequence[Record]],
    *,
    max_batched_tokens: int,
    max_running: int,
) -> Calibration:
    """Fit a service model.

    Args:
        alone: of a run on one replica with one request at a time and prompts of many lengths.
        together: of runs on one replica with several at a time, at most `max_running`, and prompts that a
            step can read: of a longer one it is not known when which part was read.
        max_batched_tokens, max_running: the engine's settings, which are known and not fitted.

    Raises:
        BenchmarkError: too few requests, or the times do not grow with what they should grow with.
    """
    single = _timed(alone)
    if len(single) < MIN_ALONE:
        raise BenchmarkError(f"a calibration needs {MIN_ALONE} requests that were alone, not {len(single)}")
    rows, values = _ttft_equations(single, max_batched_tokens)
    for run in (alone, *together):
        more_rows, more_values = _duration_equations(_timed(run))
        rows += more_rows
        values += more_values
    matrix, target = np.array(rows), np.array(values)
    solution = _solve(matrix, target, len(single))
    overhead_ms, step_ms, per_running_ms, prefill_ms = (float(value) for value in solution)
    if step_ms <= 0:
        raise BenchmarkError(f"the fitted step takes {step_ms:.3f} ms: these runs do not fit the model")
    residuals = target - matrix @ solution
    left_over = np.sort(residuals[: len(single)] + overhead_ms)
    levels = (np.arange(NUM_OVERHEADS) + 0.5) / NUM_OVERHEADS
    overheads = np.maximum(0.0, np.quantile(left_over, levels))
    service = ServiceModel(
        overhead_ms=tuple(round(float(value), 3) for value in overheads),
        step_ms=step_ms,
        # Noise can make a cost that is not there slightly negative.
        step_us_per_running=max(0.0, per_running_ms * 1e3),
        prefill_us_per_token=max(0.0, prefill_ms * 1e3),
        max_batched_tokens=max_batched_tokens,
        max_running=max_running,
    )
    return Calibration(service, _fit(residuals, target, len(single)))


def _solve(
    matrix: npt.NDArray[np.float64], target: npt.NDArray[np.float64], num_alone: int
) -> npt.NDArray[np.float64]:
    """Least squares; a second time with each kind of equation weighted by how well it was met.

    The way to the engine varies by milliseconds, a step by less, so its equations say more.
    """
    weights = np.ones(len(target))
    for _ in range(2):
        weighted = matrix * weights[:, None]
        found, _, rank, _ = np.linalg.lstsq(weighted, target * weights, rcond=None)
        solution = np.asarray(found, dtype=np.float64)
        if rank < matrix.shape[1]:
            raise BenchmarkError("a calibration needs prompts of several lengths and several rates")
        residuals = target - matrix @ solution
        for part in (slice(None, num_alone), slice(num_alone, None)):
            # The median: one request that was held up says nothing about its kind.
            weights[part] = 1.0 / max(1e-3, float(np.median(np.abs(residuals[part]))))
    return solution


class _Times(msgspec.Struct, frozen=True):
    """What a calibration needs of a record; milliseconds."""

    sent: float
    first: float
    last: float
    num_prompt: int
    num_output: int


def _timed(records: Sequence[Record]) -> list[_Times]:
    return [
        _Times(
            record.sent_ns / 1e6,
            record.first_token_ns / 1e6,
            record.last_token_ns / 1e6,
            record.num_prompt_tokens,
            record.num_output_tokens,
        )
        for record in records
        if record.outcome is Outcome.OK
        and record.sent_ns is not None
        and record.first_token_ns is not None
        and record.last_token_ns is not None
        and record.num_prompt_tokens
        and record.num_output_tokens
    ]


# Unknowns, in the order of the columns: overhead, step, per running sequence, prefill per token; all in ms.
Rows = list[tuple[float, float, float, float]]


def _ttft_equations(times: Sequence[_Times], max_batched_tokens: int) -> tuple[Rows, list[float]]:
    rows = [
        (1.0, float(-(-one.num_prompt // max_batched_tokens)), 0.0, float(one.num_prompt)) for one in times
    ]
    return rows, [one.first - one.sent for one in times]


def _duration_equations(times: Sequence[_Times]) -> tuple[Rows, list[float]]:
    running = _Running(times)
    by_first = sorted(times, key=lambda one: one.first)
    firsts = [one.first for one in by_first]
    read = np.concatenate(([0.0], np.cumsum([one.num_prompt for one in by_first])))
    rows: Rows = []
    values: list[float] = []
    for one in times:
        num_steps = one.num_output - 1
        if num_steps < 1:
            continue
        tpot = (one.last - one.first) / num_steps
        # Tokens of one step come at nearly the same time: what the last step read counts, and not the first.
        near = tpot / 4
        others_read = (
            read[bisect_right(firsts, one.last + near)] - read[bisect_right(firsts, one.first + near)]
        )
        rows.append((0.0, 1.0, running.mean(one.first, one.last), float(others_read) / num_steps))
        values.append(tpot)
    return rows, values


class _Running:
    """How many sequences were between their first and last token, over time."""

    def __init__(self, times: Sequence[_Times]) -> None:
        changes = sorted([(one.first, 1) for one in times] + [(one.last, -1) for one in times])
        at = np.array([moment for moment, _ in changes])
        count = np.cumsum([change for _, change in changes])
        self._at = at
        self._count = count
        self._area = np.concatenate(([0.0], np.cumsum(count[:-1] * np.diff(at))))

    def mean(self, start: float, end: float) -> float:
        if end <= start:
            return 1.0
        return float((self._until(end) - self._until(start)) / (end - start))

    def _until(self, moment: float) -> float:
        index = int(np.searchsorted(self._at, moment, side="right")) - 1
        return float(self._area[index] + self._count[index] * (moment - self._at[index]))


def _fit(residuals: npt.NDArray[np.float64], target: npt.NDArray[np.float64], num_alone: int) -> Fit:
    ttft, tpot = np.abs(residuals[:num_alone]), np.abs(residuals[num_alone:])
    return Fit(
        num_requests=len(target) - num_alone,
        ttft_residual_p50_ms=float(np.quantile(ttft, 0.5)),
        ttft_residual_p95_ms=float(np.quantile(ttft, 0.95)),
        tpot_residual_p50_ms=float(np.quantile(tpot, 0.5)),
        tpot_residual_p95_ms=float(np.quantile(tpot, 0.95)),
        tpot_residual_mean_share=statistics.fmean(residuals[num_alone:])
        / statistics.fmean(target[num_alone:]),
    )
