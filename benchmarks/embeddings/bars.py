"""What the embedders have to reach, and whether they do: pure, from the records of runs.

A ratio is taken within each repetition, of two sides that ran minutes apart at most, before the median.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.embeddings.cases import Case
from benchmarks.embeddings.sides import API, LOCKED, OURS
from benchmarks.embeddings.texts import Kind

Record = Mapping[str, Any]
BEST = "best that keeps the quality"
MIN_COSINE = 0.9999


@dataclass(frozen=True, slots=True)
class Bar:
    """`side` in `case` has at least `limit` times the rate of `other` in `other_case`."""

    side: str
    case: Case
    other: str
    other_case: Case
    limit: float
    kinds: tuple[Kind, ...] = ("short", "long")

    @property
    def text(self) -> str:
        other = self.other if self.other_case == self.case else f"{self.other} at {self.other_case}"
        return f"{self.side} at {self.case} at least {self.limit:g}x {other}"


_LIST, _SINGLE, _CROWD, _CROWD_OF_LISTS = Case(1, 64), Case(1, 1), Case(32, 1), Case(32, 64)
BARS = (
    Bar("manta-llamacpp", _CROWD, "llama-cpp-python one", _CROWD, 2.0),
    Bar("manta-llamacpp", _LIST, "llama-cpp-python list", _LIST, 3.5),
    Bar("manta-llamacpp", _CROWD, "llama-server", _CROWD, 1.0),
    Bar("manta-llamacpp", _LIST, "llama-server", _LIST, 1.0),
    Bar("manta-llamacpp", _LIST, "onnxruntime", _LIST, 1.0, ("short",)),
    Bar("manta-llamacpp", _LIST, "onnxruntime", _LIST, 0.9, ("long",)),
    Bar("manta-auto", _LIST, BEST, _LIST, 1.0, ("short", "long", "mixed")),
    Bar("manta-auto", _CROWD, BEST, _CROWD, 1.0, ("short", "long", "mixed")),
    Bar(API, _CROWD, LOCKED, _CROWD, 3.0, ("short", "long", "mixed")),
    Bar(API, _CROWD_OF_LISTS, "manta-auto", _CROWD_OF_LISTS, 0.85, ("short", "long", "mixed")),
)


def summarise(records: Sequence[Record], cosines: Mapping[str, float | None]) -> dict[str, Any]:
    """Rates of each side, ratios of ours to each of the others, and the verdicts.

    Args:
        records: `side`, `kind`, `case`, `repetition`, `tokens_per_s`.
        cosines: side -> the least cosine of its vectors to the reference's; None: not measured.
    """
    rates: dict[tuple[str, str, str], dict[int, float]] = {}
    for record in records:
        key = (record["kind"], record["case"], record["side"])
        rates.setdefault(key, {})[record["repetition"]] = record["tokens_per_s"]
    figures = {
        " ".join(key): {"kind": key[0], "case": key[1], "side": key[2], **_figure(list(each.values()))}
        for key, each in rates.items()
    }
    ratios = {}
    for (kind, case, side), each in rates.items():
        if side in (*OURS, API):
            for (other_kind, other_case, other), beside in rates.items():
                if (other_kind, other_case) == (kind, case) and other != side:
                    ratios[f"{kind} {case} {side} / {other}"] = _ratio(each, beside)
    return {
        "figures": figures,
        "ratios": ratios,
        "cosines": dict(cosines),
        "verdicts": [verdict for bar in BARS for verdict in _verdicts(bar, rates, cosines)],
    }


def _verdicts(
    bar: Bar, rates: Mapping[tuple[str, str, str], Mapping[int, float]], cosines: Mapping[str, float | None]
) -> list[dict[str, Any]]:
    found = []
    for kind in bar.kinds:
        own = rates.get((kind, str(bar.case), bar.side))
        others = _peers(kind, bar, rates, cosines) if bar.other == BEST else [bar.other]
        beside = [rates[key] for other in others if (key := (kind, str(bar.other_case), other)) in rates]
        if own is None or not beside:
            continue
        best = max(beside, key=lambda each: statistics.median(each.values()))
        ratio = _ratio(own, best)
        if ratio["median"] is not None:
            is_met = ratio["median"] >= bar.limit
            found.append({"bar": f"{kind}: {bar.text}", "limit": bar.limit, "is_met": is_met, **ratio})
    return found


def _peers(
    kind: str,
    bar: Bar,
    rates: Mapping[tuple[str, str, str], Mapping[int, float]],
    cosines: Mapping[str, float | None],
) -> list[str]:
    """Sides of others that ran in this case and whose vectors are good."""
    ran = [side for of_kind, case, side in rates if (of_kind, case) == (kind, str(bar.other_case))]
    return [
        side
        for side in ran
        if side not in (*OURS, API) and (cosine := cosines.get(side)) is not None and cosine >= MIN_COSINE
    ]


def _figure(values: Sequence[float]) -> dict[str, Any]:
    return {
        "median": round(statistics.median(values), 1),
        "least": round(min(values), 1),
        "most": round(max(values), 1),
        "num": len(values),
    }


def _ratio(own: Mapping[int, float], other: Mapping[int, float]) -> dict[str, Any]:
    """Of the repetitions that both have; None where there are none."""
    each = [round(own[number] / other[number], 4) for number in sorted(own) if other.get(number)]
    if not each:
        return {"median": None, "least": None, "most": None, "each": []}
    return {
        "median": round(statistics.median(each), 4),
        "least": min(each),
        "most": max(each),
        "each": each,
    }
