"""Prose: text in which no pattern can match, and of which no more is held back than its last word.

Nearly every piece of a stream is such a text, and to know it takes two looks instead of one for each kind of pattern.
What follows from the patterns is worked out once; where they do not allow it, no text is plain.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from serve_app.guards.base import Pattern

Look = Callable[[str], re.Match[str] | None]

_BETWEEN = " \n"  # words


@dataclass(frozen=True, slots=True)
class Plain:
    """Of one set of patterns.

    Args:
        looks_plain: tells it by a text's characters.
        opening: finds, in lower case, what a match may begin with although its characters are plain; None: nothing.
        word: the characters of words.
        max_chars: of a text that can be plain.
    """

    looks_plain: Look
    opening: Look | None
    word: str
    max_chars: int

    def held_from(self, text: str) -> int:
        """Where the part of a text begins whose matches depend on what comes after it; -1: the text is not plain."""
        if (
            len(text) > self.max_chars
            or self.looks_plain(text) is None
            or (self.opening is not None and self.opening(text.lower()) is not None)
        ):
            return -1
        return len(text.rstrip(self.word))


def plain_of(patterns: Sequence[Pattern]) -> Plain | None:
    """None: no text is plain.

    A match holds a mark, so a text without marks holds none. What may become one later either begins with an opening,
    which is looked for; or with certain characters, which no plain text has, or has only before one that ends what they
    began; or it is made of a word's characters alone: then the pattern with the most of them holds back the whole word.
    """
    free = [one for one in patterns if not one.begins and not one.openings]
    begun = [one for one in patterns if one.begins and not one.openings]
    openings = {opening.lower() for one in patterns for opening in one.openings}
    widest = max(free, key=lambda one: (len(set(one.alphabet)), one.max_chars), default=None)
    if (
        widest is None
        or not all(one.marks and one.alphabet for one in patterns)
        or any(set(_BETWEEN) & set(one.alphabet) for one in free)
        or any("\n" in one.alphabet for one in patterns)
        or any(set(_BETWEEN) & set(opening) for opening in openings)
    ):
        return None
    unmarked = set(widest.alphabet) - {char for one in patterns for char in one.marks}
    small = unmarked - {char for one in begun for char in one.begins} - set(string.ascii_uppercase)
    capitals = unmarked & set(string.ascii_uppercase)
    for one in begun:
        if small & set(one.alphabet):
            capitals -= set(one.begins)
    if not small:
        return None
    between = f"[{_of(small)}{_BETWEEN}]*"
    capital = f"(?:[{_of(capitals)}][{_of(small)}]{between})*+" if capitals else ""
    looks_plain = re.compile(between + capital).fullmatch
    opening = re.compile("|".join(map(re.escape, sorted(openings)))).search if openings else None
    return Plain(looks_plain, opening, _of(small | capitals, str), widest.max_chars)


def _of(chars: set[str], written: Callable[[str], str] = re.escape) -> str:
    return written("".join(sorted(chars)))
