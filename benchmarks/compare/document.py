"""A comparison as JSON: everything that it rests on, so that a reader can judge it again."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.compare.comparison import Comparison
from benchmarks.compare.decide import Judged
from benchmarks.compare.figures import RunFigures
from benchmarks.results_folder import write_json
from benchmarks.statistics.bootstrap import Interval


def write_document(folder: Path, comparison: Comparison) -> None:
    """Write `folder`/compare.json; a kill leaves the whole one from before, never half of one."""
    draft = folder / "compare.json.part"
    write_json(draft, document(comparison))
    draft.replace(folder / "compare.json")


def document(comparison: Comparison) -> dict[str, Any]:
    """All of it. Differences are in parts of A; infinite and undefined values are null."""
    levels, position = comparison.levels, comparison.position
    return {
        "a": comparison.name_a,
        "b": comparison.name_b,
        "is_paired": comparison.is_paired,
        "exit_code": comparison.exit_code,
        "primary": comparison.primary.name,
        "alpha": levels.alpha,
        "power": levels.power,
        "margin": levels.margin,
        "num_runs": {"a": len(comparison.runs_a), "b": len(comparison.runs_b)},
        "figures": {judged.figure.name: _figure(judged, comparison) for judged in comparison.judged},
        "position": None
        if position is None
        else {"difference": finite(position.difference), "p_value": position.p_value},
        "pairs": [
            {"index": pair.planned.index, "seed": pair.planned.seed, "order": "".join(pair.planned.order)}
            for pair in comparison.pairs
        ],
        "excluded": list(comparison.excluded),
        "notes": list(comparison.notes),
        "stopped_because": comparison.stopped_because,
        "shortage": comparison.shortage,
    }


def median(runs: Sequence[RunFigures], name: str) -> float | None:
    """Of the runs in which the figure is defined; None: in none, or most of them failed."""
    values = [value for run in runs if (value := run.values.get(name)) is not None]
    return finite(statistics.median(values)) if values else None


def _figure(judged: Judged, comparison: Comparison) -> dict[str, Any]:
    figure = judged.figure
    return {
        "unit": figure.unit,
        "better": figure.better,
        "scale": figure.scale,
        "is_primary": judged.is_primary,
        "verdict": judged.verdict.value,
        "num_values": judged.num_values,
        "a": median(comparison.runs_a, figure.name),
        "b": median(comparison.runs_b, figure.name),
        "difference": finite(judged.difference),
        "interval": _ends(judged.interval),
        "bootstrap_interval": _ends(judged.bootstrap),
        "p_value": judged.p_value,
        "p_adjusted": judged.p_adjusted,
        "p_equivalent": judged.p_equivalent,
        "detectable": finite(judged.detectable),
        "values_a": [finite(run.values.get(figure.name)) for run in comparison.runs_a],
        "values_b": [finite(run.values.get(figure.name)) for run in comparison.runs_b],
    }


def finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _ends(interval: Interval | None) -> list[float | None] | None:
    return None if interval is None else [finite(interval.low), finite(interval.high)]
