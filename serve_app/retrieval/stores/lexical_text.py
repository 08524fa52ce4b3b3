"""What the lexical search sees of a chunk and of a query.

Tokenizers that split at spaces and punctuation take a run of Chinese or Japanese for one word, which
nobody will search for; so each of those characters becomes a word of its own, in chunks and queries
alike. Korean is written with spaces, and is left as it is.
"""

from __future__ import annotations

import re
from itertools import islice

from serve_app.retrieval.base import Chunk

# Hiragana, Katakana, CJK ideographs with extension A, compatibility ideographs, extensions B and on.
_IDEOGRAPH = re.compile("([\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f])")

# What every store takes for a word: a run of letters and digits. Longer ones are cut by some.
_WORD = re.compile(r"[^\W_]{1,255}")


def of_chunk(chunk: Chunk) -> str:
    # The title usually opens the headings too; counted twice it would weigh twice.
    headings = chunk.headings if chunk.title in chunk.headings else (chunk.title, *chunk.headings)
    return of_query("\n".join((*headings, chunk.text)))


def of_query(text: str, max_words: int | None = None) -> str:
    """The text with its ideographs apart; of more words than `max_words`, the first ones."""
    spaced = _IDEOGRAPH.sub(r" \1 ", text)
    if max_words is None or len(spaced) <= max_words:
        return spaced
    words = _WORD.finditer(spaced)
    last = next(islice(words, max_words, None), None)
    return spaced if last is None else spaced[: last.start()]
