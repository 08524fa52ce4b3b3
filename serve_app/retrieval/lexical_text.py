"""What the lexical search sees of a chunk and of a query.

Tokenizers that split at spaces and punctuation take a run of Chinese or Japanese for one word, which
nobody will search for; so each of those characters becomes a word of its own, in chunks and queries
alike. Korean is written with spaces, and is left as it is.
"""

from __future__ import annotations

import re

from serve_app.retrieval.base import Chunk

# Hiragana, Katakana, CJK ideographs with extension A, compatibility ideographs, extensions B and on.
_IDEOGRAPH = re.compile("([\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f])")


def of_chunk(chunk: Chunk) -> str:
    # The title usually opens the headings too; counted twice it would weigh twice.
    headings = chunk.headings if chunk.title in chunk.headings else (chunk.title, *chunk.headings)
    return of_query("\n".join((*headings, chunk.text)))


def of_query(text: str) -> str:
    return _IDEOGRAPH.sub(r" \1 ", text)
