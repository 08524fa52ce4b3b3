"""Which word was meant. Nothing here knows what the words are of."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_CLOSE = 0.72  # of difflib's ratio: `replica` for `replicas`, and not `image` for `name`


def closest(word: str, known: Iterable[str], cutoff: float = _CLOSE) -> str | None:
    """The known word that is most likely meant; None if none is like it."""
    candidates = {each.lower().replace("_", "").replace("-", ""): each for each in known}
    plain = word.lower().replace("_", "").replace("-", "")
    found = difflib.get_close_matches(plain, candidates, n=1, cutoff=cutoff)
    return candidates[found[0]] if found else None


def listed(words: Iterable[str], most: int = 8) -> str:
    """`a, b and c`; of many the first ones."""
    names = list(words)
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1] if names else "")))
