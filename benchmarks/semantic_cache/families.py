"""The pairs of a file of families: see tests/data/semantic_cache/README.md."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import BenchmarkError

_NUM_COLUMNS = 5  # question, two paraphrases, two near misses
# (first, second, whether they mean the same), by column
_PAIRS = (
    (0, 1, True),
    (0, 2, True),
    (1, 2, True),
    (0, 3, False),
    (0, 4, False),
    (1, 3, False),
    (2, 4, False),
)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two questions of one family."""

    family: int
    kept: str  # asked first
    asked: str
    is_same: bool


def read_pairs(path: Path) -> list[Pair]:
    """All pairs, family by family.

    Raises:
        BenchmarkError: a line has not five questions.
    """
    pairs: list[Pair] = []
    lines = [
        line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")
    ]
    for family, line in enumerate(lines):
        questions = [one.strip() for one in line.split("|")]
        if len(questions) != _NUM_COLUMNS or not all(questions):
            raise BenchmarkError(
                f"{path}: family {family + 1} has not {_NUM_COLUMNS} questions: {line[:60]!r}"
            )
        pairs += [Pair(family, questions[a], questions[b], is_same) for a, b, is_same in _PAIRS]
    return pairs
