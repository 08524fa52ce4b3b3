"""What a run's records say of overload: who was served well, who was turned away, and how quickly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.metrics.e2e import E2E
from benchmarks.metrics.ttft import TTFT
from benchmarks.records import Outcome, Record


@dataclass(frozen=True, slots=True)
class Figures:
    """One part of one run, of the requests that arrived in its measured window.

    Args:
        refused_share: 429, or 503 with Retry-After; their statuses are in `statuses`.
        failed_share: neither refused nor ended well, time-outs included.
        statuses: HTTP status -> requests; those without an answer are absent.
        refused_after_ms: percentiles of the time until a request was turned away; absent where none was.
        problems: why the client's own figures cast doubt on the run's times.
    """

    num_requests: int
    offered_rps: float
    completed_rps: float
    goodput_rps: float
    refused_share: float
    failed_share: float
    statuses: Mapping[str, int]
    ttft_ms: Mapping[str, float]
    e2e_ms: Mapping[str, float]
    refused_after_ms: Mapping[str, float]
    problems: tuple[str, ...] = ()


def figures_of(
    records: Sequence[Record], goodput_rps: float, seconds: float, problems: Sequence[str] = ()
) -> Figures:
    """Of the records of a window of so many seconds; percentiles are of the requests that ended well."""
    num = len(records)
    ended_well = [record for record in records if record.outcome is Outcome.OK]
    refused = [record for record in records if record.outcome is Outcome.REFUSED]
    statuses = sorted({record.status for record in records if record.status is not None})
    return Figures(
        num_requests=num,
        offered_rps=round(num / seconds, 3),
        completed_rps=round(len(ended_well) / seconds, 3),
        goodput_rps=round(goodput_rps, 3),
        refused_share=round(len(refused) / num, 4) if num else 0.0,
        failed_share=round((num - len(refused) - len(ended_well)) / num, 4) if num else 0.0,
        statuses={str(status): sum(record.status == status for record in records) for status in statuses},
        ttft_ms=_percentiles([value for record in ended_well for value in TTFT.values(record)]),
        e2e_ms=_percentiles([value for record in ended_well for value in E2E.values(record)]),
        refused_after_ms=_percentiles([(record.end_ns - record.intended_ns) / 1e6 for record in refused]),
        problems=tuple(problems),
    )


def retry_after(headers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a prober was told: answers by status, and the seconds of Retry-After of those turned away."""
    statuses = sorted({answer["status"] for answer in headers})
    seconds = [answer["retry_after_s"] for answer in headers if answer["retry_after_s"] is not None]
    turned_away = [answer for answer in headers if answer["status"] in (429, 503)]
    return {
        "num": len(headers),
        "statuses": {str(s): sum(answer["status"] == s for answer in headers) for s in statuses},
        "num_without": sum(answer["retry_after_s"] is None for answer in turned_away),
        "seconds": _percentiles(seconds),
    }


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {}
    found = np.percentile(values, (50, 95, 99, 100))
    names = ("p50", "p95", "p99", "max")
    return {name: round(float(value), 1) for name, value in zip(names, found, strict=True)}
