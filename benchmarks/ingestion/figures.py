"""What the runs say: documents a second, ratios, and the bars. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

EDGE_SHARE = 0.2  # of the documents at either end, while workers start or run out of work: not timed
EMBEDDER, ONE_BY_ONE = "embedder alone", "one text, one request"
MIN_OF_EMBEDDER = 0.9  # of what the embedder alone reaches on the same texts
MIN_SCALING = 0.85  # of the ideal, from one worker to the most

Record = Mapping[str, Any]


def pipeline(num_workers: int) -> str:
    """What the ingestion with so many workers is called."""
    return f"ingest, {num_workers} workers" if num_workers > 1 else "ingest, 1 worker"


def steady_rate(told: Sequence[tuple[float, int]]) -> float | None:
    """Documents a second between the first fifth that is stored and the last fifth.

    What it takes to start Ray's workers and to load their models is some ten seconds, whatever the size: in a
    short run it would hide how fast they are. And to the very end it would count what was embedded before the
    first fifth was stored: between both moments as much is on its way as is stored.

    Args:
        told: (seconds, documents stored by then), in order; the last of them says how many there are.
            None where too little was told.
    """
    if not told:
        return None
    num = told[-1][1]
    inner = [one for one in told if EDGE_SHARE * num <= one[1] <= (1 - EDGE_SHARE) * num]
    if not inner or inner[0][0] >= inner[-1][0]:
        return None
    return (inner[-1][1] - inner[0][1]) / (inner[-1][0] - inner[0][0])


def summarise(records: Sequence[Record], workers: Sequence[int], *, is_paced: bool) -> dict[str, Any]:
    """Medians and ratios within repetitions, and the verdicts.

    Args:
        records: `side`, `repetition`, `documents_per_s`.
        workers: numbers of them that were tried.
        is_paced: the embedder only waits, so that workers can scale on few cores; else it computes.
    """
    rates: dict[str, dict[int, float]] = {}
    for one in records:
        rates.setdefault(one["side"], {})[one["repetition"]] = one["documents_per_s"]
    medians = {side: round(statistics.median(each.values()), 2) for side, each in rates.items()}
    first, most = pipeline(min(workers)), pipeline(max(workers))
    ratios = {
        f"{first} / {EMBEDDER}": _ratio(rates, first, EMBEDDER),
        f"{first} / {ONE_BY_ONE}": _ratio(rates, first, ONE_BY_ONE),
        "scaling": _scaled(_ratio(rates, most, first), max(workers) / min(workers)),
    }
    verdicts = []
    if not is_paced and (value := ratios[f"{first} / {EMBEDDER}"]) is not None:
        verdicts.append(_verdict(f"{first} / {EMBEDDER}", value, MIN_OF_EMBEDDER))
    if is_paced and len(workers) > 1 and (value := ratios["scaling"]) is not None:
        verdicts.append(
            _verdict(f"scaling from {min(workers)} to {max(workers)} workers", value, MIN_SCALING)
        )
    return {"documents_per_s": medians, "ratios": ratios, "verdicts": verdicts}


def _ratio(rates: Mapping[str, Mapping[int, float]], side: str, other: str) -> float | None:
    """Median over the repetitions that both have; None where there are none."""
    own, beside = rates.get(side, {}), rates.get(other, {})
    each = [own[number] / beside[number] for number in own.keys() & beside.keys()]
    return round(statistics.median(each), 4) if each else None


def _scaled(ratio: float | None, ideal: float) -> float | None:
    return None if ratio is None else round(ratio / ideal, 4)


def _verdict(bar: str, value: float, limit: float) -> dict[str, Any]:
    return {"bar": bar, "value": value, "limit": limit, "is_met": value >= limit}
