"""A ranking without passages that say the same again, word for word or nearly so.

Two passages are compared by the share of their sequences of five words that they have in common (Jaccard
of shingles; Broder, "On the resemblance and containment of documents", 1997). The headings of short ones
count: the same "Yes." under two questions is two answers. Knows nothing of vectors: passages of one meaning
in different words both stay.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from serve_app.retrieval.base import Chunk, Fused

_NUM_WORDS = 5  # of a shingle
_NUM_CHARACTERS = 12  # of one, in scripts without blanks
_SHORT_CHARS = 200  # of a text that says little without its headings
_WORD = re.compile(r"\w+")


def apart(ranking: Sequence[Fused], num: int, share: float | None) -> list[Fused]:
    """The first `num` of a ranking that are no near-duplicates of a better one, in its order.

    Args:
        ranking: best first.
        num: passages wanted.
        share: from which on two are the same; None keeps all.
    """
    if share is None:
        return list(ranking)
    kept: list[tuple[Fused, frozenset[object]]] = []
    for one in ranking:
        if len(kept) == num:
            break
        own = _shingles(one.chunk)
        if not any(_is_same(own, other, share) for _, other in kept):
            kept.append((one, own))
    return [one for one, _ in kept]


def _is_same(one: frozenset[object], other: frozenset[object], share: float) -> bool:
    smaller, larger = sorted((len(one), len(other)))
    if smaller < share * larger:
        return False  # they could not have so much in common
    num_common = len(one & other)
    return num_common >= share * (smaller + larger - num_common)


def _shingles(chunk: Chunk) -> frozenset[object]:
    parts = (*chunk.headings, chunk.text) if len(chunk.text) < _SHORT_CHARS else (chunk.text,)
    text = "\n".join(parts).lower()
    words = _WORD.findall(text)
    if len(words) * _NUM_CHARACTERS < len(text):
        return frozenset(
            text[at : at + _NUM_CHARACTERS] for at in range(max(1, len(text) - _NUM_CHARACTERS + 1))
        )
    return frozenset(tuple(words[at : at + _NUM_WORDS]) for at in range(max(1, len(words) - _NUM_WORDS + 1)))
