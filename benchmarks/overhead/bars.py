"""What the path may cost, and whether it does: pure, from the figures of runs.

A figure is the median of the repetitions; what is relative to the bare server is taken within each repetition,
from the bare run beside it, before the median.
"""

from __future__ import annotations

import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.statistics.samples import known_median

BARE = "bare"  # what everything is divided by

Direction = Literal["at least", "at most"]


@dataclass(frozen=True, slots=True)
class Bar:
    """A limit for one figure at one number of callers."""

    num_callers: int
    figure: str
    direction: Direction
    limit: float
    unit: str

    def is_met(self, value: float) -> bool:
        return value >= self.limit if self.direction == "at least" else value <= self.limit

    @property
    def text(self) -> str:
        return f"{self.figure} {self.direction} {self.limit:g}{self.unit} at {self.num_callers}"


# For one replica of the ingress and one of the engine, on a machine that also makes the load.
BARS = (
    Bar(32, "ratio", "at least", 0.97, ""),
    Bar(32, "itl_p99_ms", "at most", 12.0, " ms"),
    Bar(128, "ratio", "at least", 0.85, ""),
    Bar(128, "itl_p99_ms", "at most", 30.0, " ms"),
    Bar(1, "ttft_over_ms", "at most", 3.0, " ms"),
    Bar(32, "ttft_over_ms", "at most", 8.0, " ms"),
    Bar(128, "ttft_over_ms", "at most", 40.0, " ms"),
)

# For vLLM's, where the engine's own steps are the larger part.
VLLM_BARS = (
    Bar(32, "tokens_ratio", "at least", 0.95, ""),
    Bar(1, "ttft_over_ms", "at most", 5.0, " ms"),
)

# name -> how it is taken from a run's record
_OWN = {
    "requests_per_s": ("requests_per_s",),
    "output_tokens_per_s": ("output_tokens_per_s",),
    "ttft_p50_ms": ("ttft_ms", "p50"),
    "ttft_p99_ms": ("ttft_ms", "p99"),
    "itl_p50_ms": ("itl_ms", "p50"),
    "itl_p99_ms": ("itl_ms", "p99"),
    "pause_p99_ms": ("pause_ms", "p99"),
    "tokens_per_arrival": ("tokens_per_arrival",),
}


def summarise(
    records: Sequence[Mapping[str, Any]],
    judged: Collection[str] | None = None,
    bars: Sequence[Bar] = BARS,
) -> dict[str, Any]:
    """Figures of each way at each number of callers, and the verdicts.

    Args:
        judged: ways that the bars are for; None: all.
        bars: to judge them by.
        records: of runs: `way`, `num_callers`, `repetition`, `beside` (the way that a bare run stands beside) and
            the fields of `Measured`.
    """
    bare = {
        (record["beside"], record["num_callers"], record["repetition"]): record
        for record in records
        if record["way"] == BARE
    }
    groups: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for record in records:
        groups.setdefault((record["way"], record["num_callers"]), []).append(record)
    figures = {
        f"{way} {num_callers}": _figures(way, num_callers, runs, bare)
        for (way, num_callers), runs in groups.items()
    }
    ways = dict.fromkeys(way for way, _ in groups if way != BARE and (judged is None or way in judged))
    return {"figures": figures, "verdicts": {way: verdicts(way, figures, bars) for way in ways}}


def verdicts(way: str, figures: Mapping[str, Mapping[str, Any]], bars: Sequence[Bar]) -> list[dict[str, Any]]:
    """One for each bar whose number of callers was measured."""
    found = []
    for bar in bars:
        measured = figures.get(f"{way} {bar.num_callers}")
        if measured is None or measured[bar.figure] is None:
            continue
        each = [value for value in measured["each"][bar.figure] if value is not None]
        found.append(
            {
                "bar": bar.text,
                "value": measured[bar.figure],
                "each": each,
                "is_met": bar.is_met(measured[bar.figure]),
                "num_met": sum(bar.is_met(value) for value in each),
                "num": len(each),
            }
        )
    return found


def _figures(
    way: str,
    num_callers: int,
    runs: Sequence[Mapping[str, Any]],
    bare: Mapping[tuple[str, int, int], Mapping[str, Any]],
) -> dict[str, Any]:
    each: dict[str, list[float | None]] = {
        name: [_take(run, path) for run in runs] for name, path in _OWN.items()
    }
    if way != BARE:
        pairs = [(run, bare.get((way, num_callers, run["repetition"]))) for run in runs]
        each["ratio"] = [_ratio(run, beside, "requests_per_s") for run, beside in pairs]
        each["tokens_ratio"] = [_ratio(run, beside, "output_tokens_per_s") for run, beside in pairs]
        each["ttft_over_ms"] = [_difference(run, beside, "p50") for run, beside in pairs]
        each["ttft_p99_over_ms"] = [_difference(run, beside, "p99") for run, beside in pairs]
    return {
        "way": way,
        "num_callers": num_callers,
        "num_runs": len(runs),
        "num_failed": sum(run["num_failed"] for run in runs),
        "num_certified": sum(not run["reasons"] for run in runs),
        **{name: known_median(values) for name, values in each.items()},
        "cpu_ms": _median_of_each(run["cpu_ms"] for run in runs),
        "client_cpu_max": known_median([run["client"]["cpu_max"] for run in runs]),
        "each": each,
    }


def _take(record: Mapping[str, Any], path: Sequence[str]) -> float | None:
    value: Any = record
    for name in path:
        value = value[name]
    return None if value is None else float(value)


def _ratio(run: Mapping[str, Any], bare: Mapping[str, Any] | None, name: str) -> float | None:
    if bare is None or run[name] is None or not bare[name]:
        return None
    return round(float(run[name] / bare[name]), 4)


def _difference(run: Mapping[str, Any], bare: Mapping[str, Any] | None, name: str) -> float | None:
    if bare is None or run["ttft_ms"][name] is None or bare["ttft_ms"][name] is None:
        return None
    return round(float(run["ttft_ms"][name] - bare["ttft_ms"][name]), 3)


def _median_of_each(found: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Key -> median over those that have it, largest first."""
    values: dict[str, list[float]] = {}
    for one in found:
        for key, value in one.items():
            values.setdefault(key, []).append(value)
    medians = {key: round(statistics.median(own), 3) for key, own in values.items()}
    return dict(sorted(medians.items(), key=lambda item: -item[1]))
