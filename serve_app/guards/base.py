"""What guards look for and what they find. Knows nothing of requests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Category(StrEnum):
    """What policies are set by."""

    PII = "pii"
    SECRETS = "secrets"
    TOPICS = "topics"
    INJECTION = "injection"


class Action(StrEnum):
    """What becomes of it, from the mildest."""

    FLAG = "flag"
    REDACT = "redact"
    BLOCK = "block"


@dataclass(frozen=True, slots=True)
class Pattern:
    """Something with a shape.

    Args:
        kind: what it is called; upper case in its place when it is redacted.
        before: what must stand before a match, as look-behind of at most two characters.
        regex: without groups and backreferences, every repetition bounded; may look one character ahead.
        max_chars: of its longest match, what is looked at ahead included.
        alphabet: every character that a match may hold: with one of another kind behind it, a match cannot begin.
        is_real: whether a match is one: check digits.
        openings: what every match begins with, in any case, where the alphabet is that of prose; else none. With
            openings the alphabet is ASCII.
        begins: characters that a match may begin with; empty: any of the alphabet.
        tail: characters that go on as long as they come: of secrets whose length has no bound.
        gate: whether a text can hold a match at all, told in far less time than it takes to look for one; None: any
            text can. Looks at nothing that stands outside of a match.
        marks: characters of which every match holds one, and prose few; empty: there are none.
    """

    kind: str
    category: Category
    before: str
    regex: str
    max_chars: int
    alphabet: str
    is_real: Callable[[str], bool] | None = None
    tail: frozenset[str] = frozenset()
    openings: tuple[str, ...] = ()
    gate: Callable[[str], bool] | None = None
    begins: str = ""
    marks: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found, without the text."""

    kind: str
    category: Category
    action: Action
