"""Two sets of results folders that were made before, each of one run or of several.

Weaker than pairs, and it says so: the runs were made at different times.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.compare.comparison import Comparison
from benchmarks.compare.conclude import compare_sets
from benchmarks.compare.decide import Levels
from benchmarks.compare.of_run import figures_of
from benchmarks.compare.unpaired import fewest_a_side, smallest_p_value_of
from benchmarks.errors import BenchmarkError
from benchmarks.run.execute import Run, read_run

_RECORDS = "records.jsonl"
# What has to be the same for a difference to be the server's. Seeds may differ, and had better.
_ASKED = ("arrivals", "requests", "duration_s", "warm_up_s", "timeout_s")


def compare_folders(
    a: Sequence[Path], b: Sequence[Path], levels: Levels, *, primary: str | None = None
) -> Comparison:
    """B's runs against A's.

    Raises:
        BenchmarkError: a folder holds no runs, or their workloads differ in more than the seed.
    """
    sets = tuple([read_run(folder) for parent in parents for folder in runs_in(parent)] for parents in (a, b))
    _check_alike([*sets[0], *sets[1]])
    return compare_sets(
        ([figures_of(run) for run in sets[0]], [figures_of(run) for run in sets[1]]),
        (_name(a), _name(b)),
        levels,
        np.random.default_rng(sets[0][0].workload.seed),
        primary=primary,
        notes=_notes(sets[0], sets[1], levels),
    )


def runs_in(folder: Path) -> list[Path]:
    """The folder itself when it is a run's, else the runs right inside it.

    Raises:
        BenchmarkError: there are none, or they are both sides of a comparison.
    """
    if (folder / _RECORDS).is_file():
        return [folder]
    if (folder / "compare.json").is_file():
        raise BenchmarkError(f"{folder} holds both sides of a comparison; name the folders of its runs")
    found = sorted(path.parent for path in folder.glob(f"*/{_RECORDS}"))
    if not found:
        raise BenchmarkError(f"{folder} holds no run")
    return found


def _check_alike(runs: Sequence[Run]) -> None:
    first = _asked(runs[0])
    for run in runs[1:]:
        asked = _asked(run)
        different = [name for name in _ASKED if asked[name] != first[name]]
        if different:
            raise BenchmarkError(
                f"{run.folder} was asked something else than {runs[0].folder} ({', '.join(different)} differ): "
                "nothing can be concluded"
            )


def _asked(run: Run) -> dict[str, Any]:
    return run.workload.model_dump(include=set(_ASKED))


def _name(folders: Sequence[Path]) -> str:
    return folders[0].name if len(folders) == 1 else f"{folders[0].name} and {len(folders) - 1} more"


def _notes(a: Sequence[Run], b: Sequence[Run], levels: Levels) -> list[str]:
    notes = [
        "the runs were not made in interleaved pairs: whatever else changed between the two times of measuring "
        "looks like a difference of the servers; compare the servers themselves for stronger evidence"
    ]
    if smallest_p_value_of(len(a), len(b)) > levels.alpha:
        enough = fewest_a_side(levels.alpha)
        notes.append(
            f"{len(a)} and {len(b)} runs can never show a difference at alpha {levels.alpha:g}: {enough} a side can"
        )
    machines = {str(_cpu(run)) for run in (*a, *b)}
    if len(machines) > 1:
        notes.append("the load came from different machines: " + ", ".join(sorted(machines)))
    return notes


def _cpu(run: Run) -> object:
    machine = run.settings.get("machine")
    return (machine.get("cpu"), machine.get("cores")) if isinstance(machine, dict) else None
