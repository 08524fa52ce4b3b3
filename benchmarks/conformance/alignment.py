"""What is wrong with a text that came, held against the text that should have come: tokens twice or missing.

Pure. A token is a word with the white space after it, as the mock engine makes them; for other engines it
is close enough to find damage, and the record has the text itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TOKEN = re.compile(r"\s*\S+\s*")


@dataclass(frozen=True, slots=True)
class Damage:
    """Positions of tokens, from 0.

    Args:
        doubled: of the text that came: tokens that are one too many.
        missing: of the text that should have come: tokens that were left out.
    """

    doubled: tuple[int, ...] = ()
    missing: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.doubled or self.missing)


def tokens(text: str) -> list[str]:
    return _TOKEN.findall(text)


def damage(came: str, expected: str, *, is_whole: bool) -> Damage:
    """The fewest tokens that must be taken out and put in to make what came of what was expected.

    A wrong token counts as one too many and one missing.

    Args:
        is_whole: the text ended as it should; else it may stop anywhere, and what lies after that is not missing.
    """
    if came == expected or (not is_whole and expected.startswith(came)):
        return Damage()
    ours, theirs = tokens(came), tokens(expected)
    costs = _costs(ours, theirs)
    column = len(theirs)
    if not is_whole:
        # The longest beginning of what was expected that explains what came at the least cost.
        column = min(range(len(theirs) + 1), key=lambda end: (costs[len(ours)][end], -end))
    return _trace(costs, ours, theirs, column)


def _costs(ours: list[str], theirs: list[str]) -> list[list[int]]:
    """(len(ours) + 1, len(theirs) + 1): edits between the first i and the first j tokens, without replacements."""
    costs = [list(range(len(theirs) + 1))]
    for i, mine in enumerate(ours, 1):
        above, row = costs[-1], [i]
        for j, other in enumerate(theirs, 1):
            row.append(above[j - 1] if mine == other else 1 + min(above[j], row[j - 1]))
        costs.append(row)
    return costs


def _trace(costs: list[list[int]], ours: list[str], theirs: list[str], column: int) -> Damage:
    doubled: list[int] = []
    missing: list[int] = []
    i, j = len(ours), column
    while i or j:
        if i and j and ours[i - 1] == theirs[j - 1]:
            i, j = i - 1, j - 1
        elif i and (not j or costs[i - 1][j] <= costs[i][j - 1]):
            i -= 1
            doubled.append(i)
        else:
            j -= 1
            missing.append(j)
    return Damage(tuple(reversed(doubled)), tuple(reversed(missing)))
