"""Words of which a text must hold one for a regular expression to match: telling that takes far less than the match.

Read from the expression itself, so that nobody has to keep two lists in step. What is not understood needs nothing:
then the expression is always tried.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

# More, and looking for them would take as long as the expression.
_MAX_NEEDLES = 40
_MIN_CHARS = 2

Needles = tuple[str, ...]


def needles_of(regex: str) -> tuple[Needles, ...]:
    """Groups of words: a text that the expression matches holds at least one of each. Case counts."""
    parser: Any = re._parser  # type: ignore[attr-defined]  # noqa: SLF001 (no other way to read one)
    parsed, found = parser.parse(regex), list[Needles]()
    if not parsed.state.flags & re.IGNORECASE:
        _read(parsed, found)
    # The longest words first: they are the rarest.
    return tuple(sorted(set(found), key=lambda group: -min(map(len, group))))


def may_match(groups: Sequence[Needles], text: str) -> bool:
    """False: the expression that these are of matches nowhere in the text."""
    for group in groups:
        for needle in group:
            if needle in text:
                break
        else:
            return False
    return True


def _read(sequence: Any, found: list[Needles]) -> None:
    """Add what every match of a sequence holds."""
    word = ""
    for operation, argument in sequence:
        name = str(operation)
        if name == "LITERAL":
            word += chr(argument)
            continue
        _add((word,), found)
        word = ""
        if name == "SUBPATTERN":
            _, flags, _, inner = argument
            if not flags & re.IGNORECASE:
                _read(inner, found)
        elif name in ("MAX_REPEAT", "MIN_REPEAT") and argument[0] >= 1:
            _read(argument[2], found)
        elif name == "BRANCH":
            _add(_one_of(argument[1]), found)
    _add((word,), found)


def _one_of(branches: Any) -> Needles:
    """A word of each branch; nothing if one of them has none."""
    words: list[str] = []
    for branch in branches:
        groups: list[Needles] = []
        _read(branch, groups)
        if not groups:
            return ()
        words += max(groups, key=lambda group: min(map(len, group)))
    return tuple(dict.fromkeys(words))


def _add(group: Needles, found: list[Needles]) -> None:
    if group and len(group) <= _MAX_NEEDLES and min(map(len, group)) >= _MIN_CHARS:
        found.append(group)
