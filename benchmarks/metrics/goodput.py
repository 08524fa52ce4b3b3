"""Goodput and attainment: how many requests were good enough.

Y. Zhong et al., "DistServe: Disaggregating Prefill and Decoding for Goodput-optimized Large Language Model
Serving", OSDI 2024.
"""

from __future__ import annotations

from benchmarks.metrics.base import RunMetric, Window
from benchmarks.metrics.objectives import limits_of, meets


def _goodput(window: Window) -> float | None:
    limits = limits_of(window.objectives)
    if window.seconds <= 0 or not limits:
        return None
    return sum(meets(record, limits) is True for record in window.records) / window.seconds


def _attainment(window: Window) -> float | None:
    limits = limits_of(window.objectives)
    if not limits:
        return None
    verdicts = [meets(record, limits) for record in window.records]
    judged = [verdict for verdict in verdicts if verdict is not None]
    return sum(judged) / len(judged) if judged else None


GOODPUT = RunMetric(
    name="goodput",
    unit="requests/s",
    better="higher",
    formula="requests that arrived in the window and meet all objectives / seconds of the window",
    value=_goodput,
    undefined="no objectives",
)

ATTAINMENT = RunMetric(
    name="attainment",
    unit="share",
    better="higher",
    formula="requests that arrived in the window and meet all objectives / those of them that can be judged: failed "
    "ones can, ones whose user left before the time was up cannot",
    value=_attainment,
    undefined="no objectives; no request that can be judged",
)
