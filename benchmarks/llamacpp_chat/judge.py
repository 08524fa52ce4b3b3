"""Ratios to the peers, and whether the bars are met: pure, from the records of runs.

A ratio is taken within a repetition, where both servers had the machine one soon after the other; the median of the
repetitions is judged, and all of them are told.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from benchmarks.llamacpp_chat.subjects import OURS, WHAT, Name
from benchmarks.statistics.samples import known_median

Record = Mapping[str, Any]
PEERS = ("llama-server", "llama-server-same-step", "llama_cpp.server", "locked")

# name -> how it is taken from a run's record
FIGURES: Mapping[str, tuple[str, ...]] = {
    "tokens_per_s": ("tokens_per_s",),
    "ttft_p50_ms": ("ttft_ms", "p50"),
    "ttft_p95_ms": ("ttft_ms", "p95"),
    "itl_p50_ms": ("itl_ms", "p50"),
    "itl_p95_ms": ("itl_ms", "p95"),
    "e2e_p50_ms": ("e2e_ms", "p50"),
    "e2e_p95_ms": ("e2e_ms", "p95"),
    "read_ratio": ("read_ratio",),
}
_RATIOS = tuple(name for name in FIGURES if name != "read_ratio")


@dataclass(frozen=True, slots=True)
class Bar:
    """A limit for a figure's ratio to a peer's.

    Args:
        num_callers: the cases it is for.
        peer: None: the figure itself is judged.
        is_shared: for prompts with a shared beginning, or for the others.
        prompt_tokens: only for prompts of this length; None: of every length.
    """

    num_callers: int
    figure: str
    peer: str | None
    direction: Literal["at least", "at most"]
    limit: float
    is_shared: bool = False
    prompt_tokens: int | None = None

    @property
    def text(self) -> str:
        of = f" of {self.peer}'s" if self.peer else ""
        return f"{self.figure} {self.direction} {self.limit:g}{of}"

    def is_for(self, case: Mapping[str, Any]) -> bool:
        return (
            case["num_callers"] == self.num_callers
            and bool(case["shared_tokens"]) is self.is_shared
            and self.prompt_tokens in (None, case["prompt_tokens"])
        )

    def is_met(self, value: float) -> bool:
        return value >= self.limit if self.direction == "at least" else value <= self.limit


# What is asked of both of ours. The lock's bar is for short prompts: with long ones most of the work is reading, which
# one text alone does as fast as many together.
BARS = (
    Bar(16, "tokens_per_s", "locked", "at least", 1.8, prompt_tokens=128),
    Bar(16, "tokens_per_s", "llama-server", "at least", 1.0),
    Bar(16, "ttft_p50_ms", "llama-server", "at most", 0.7),
    Bar(16, "ttft_p95_ms", "llama-server", "at most", 1.0),
    Bar(16, "itl_p95_ms", "llama-server", "at most", 1.0),
    Bar(1, "tokens_per_s", "llama-server", "at least", 0.97),
    Bar(16, "tokens_per_s", "llama-server", "at least", 1.0, is_shared=True),
    # One token in a hundred more than the least: a text that begins while the shared part is being read.
    Bar(16, "read_ratio", None, "at most", 1.01, is_shared=True),
)


def summarise(records: Sequence[Record]) -> dict[str, Any]:
    """Figures of each server in each case, their ratios to the peers, and the verdicts.

    Args:
        records: of runs: `subject`, `case` (its fields), `repetition` and the fields of `Measured`.
    """
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        groups.setdefault((record["case"]["name"], record["subject"]), []).append(record)
    cases = list(dict.fromkeys(case for case, _ in groups))
    order = sorted(groups, key=lambda key: (cases.index(key[0]), list(WHAT).index(cast("Name", key[1]))))
    figures = [_figures(groups[key], groups) for key in order]
    return {"figures": figures, "verdicts": list(_verdicts(figures))}


def _figures(runs: Sequence[Record], groups: Mapping[tuple[str, str], Sequence[Record]]) -> dict[str, Any]:
    case, subject = runs[0]["case"], runs[0]["subject"]
    each = {name: [_take(run, path) for run in runs] for name, path in FIGURES.items()}
    ratios = {}
    for peer in PEERS:
        others = groups.get((case["name"], peer))
        if others and peer != subject:
            ratios[peer] = {name: _ratios(runs, others, FIGURES[name]) for name in _RATIOS}
    return {
        "case": case,
        "subject": subject,
        "num_runs": len(runs),
        "num_failed": sum(run["num_failed"] for run in runs),
        "num_certified": sum(not run["reasons"] for run in runs),
        "median": {name: known_median(values) for name, values in each.items()},
        "each": each,
        "ratios": ratios,
        "cpu_s": known_median([sum(run["cpu_s"].values()) for run in runs]),
        "cpu_ms_per_token": known_median(
            [sum(run["cpu_s"].values()) * 1e3 / run["num_output_tokens"] for run in runs]
        ),
    }


def _ratios(runs: Sequence[Record], others: Sequence[Record], path: Sequence[str]) -> list[float]:
    """One for each repetition that both have."""
    theirs = {run["repetition"]: _take(run, path) for run in others}
    found = []
    for run in runs:
        own, other = _take(run, path), theirs.get(run["repetition"])
        if own is not None and other:
            found.append(round(own / other, 4))
    return found


def _verdicts(figures: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for one in figures:
        if one["subject"] not in OURS:
            continue
        for bar in BARS:
            if not bar.is_for(one["case"]):
                continue
            values = _values(one, bar)
            if values:
                value = statistics.median(values)
                yield {
                    "subject": one["subject"],
                    "case": one["case"]["name"],
                    "bar": bar.text,
                    "value": round(value, 4),
                    "each": values,
                    "is_met": bar.is_met(value),
                    "num_met": sum(bar.is_met(each) for each in values),
                    "num": len(values),
                }


def _values(one: Mapping[str, Any], bar: Bar) -> list[float]:
    if bar.peer is None:
        return [value for value in one["each"][bar.figure] if value is not None]
    return list(one["ratios"].get(bar.peer, {}).get(bar.figure, []))


def _take(record: Record, path: Sequence[str]) -> float | None:
    value: Any = record
    for name in path:
        value = value[name]
    return None if value is None else float(value)
