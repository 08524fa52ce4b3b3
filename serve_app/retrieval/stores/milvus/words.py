"""A text as the words that the lexical search compares; Milvus Lite itself only splits and counts them.

The same steps as the embedded store takes: lower case, Snowball's English stemmer, stop words, no accents.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache

import snowballstemmer

from serve_app.retrieval.stores.english import STOP_WORDS

_WORD = re.compile(r"[^\W_]+")
_MAX_WORD_CHARS = 255  # longer ones are cut, as the other stores do
_stem: Callable[[str], str] = snowballstemmer.stemmer("english").stemWord


def analysed(text: str, max_bytes: int | None = None) -> str:
    """The text's words, apart by blanks; the first ones, where all would be over `max_bytes` of UTF-8."""
    kept: list[str] = []
    num_bytes = 0
    for match in _WORD.finditer(text.lower()):
        run = match.group()
        for start in range(0, len(run), _MAX_WORD_CHARS):
            word = _normal(run[start : start + _MAX_WORD_CHARS])
            if word is None:
                continue
            num_bytes += len(word.encode()) + 1
            if max_bytes is not None and num_bytes > max_bytes:
                return " ".join(kept)
            kept.append(word)
    return " ".join(kept)


@lru_cache(maxsize=100_000)
def _normal(word: str) -> str | None:
    """None for a stop word."""
    stem = _stem(word)
    if stem in STOP_WORDS:
        return None
    decomposed = unicodedata.normalize("NFKD", stem)
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))
