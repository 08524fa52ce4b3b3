"""A store that keeps nothing: plain dictionaries, exact cosine, BM25 computed at each search.

For tests and trials; made for thousands of chunks, not for more.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from serve_app.messages import Deadline, Vectors
from serve_app.retrieval.base import UNREAD, Chunk, Filters, Fused, Hit, HybridQuery
from serve_app.retrieval.filters import passes
from serve_app.retrieval.fusion import fuse_legs
from serve_app.retrieval.stores import lexical_text
from serve_app.retrieval.stores.english import STOP_WORDS

_K1, _B = 1.2, 0.75  # Lucene's defaults, and LanceDB's
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class _Entry:
    chunk: Chunk
    bare: Chunk  # the same without its vector, as hits have it
    words: Counter[str]
    num_words: int


class MemoryStore:
    """A Store in this process' memory."""

    fuses = False
    is_frozen = False  # what rebuilds it keeps others out by itself

    def __init__(self) -> None:
        self._tenants: dict[str, dict[str, _Entry]] = {}  # tenant -> chunk id -> entry

    async def generation(self) -> str:
        return "memory"

    async def upsert(self, chunks: Sequence[Chunk]) -> None:
        for chunk in chunks:
            # Copies, because what the caller does with its arrays later is no business of the store.
            kept = replace(chunk, vector=np.array(chunk.vector, np.float32), metadata=dict(chunk.metadata))
            words = Counter(_words(lexical_text.of_chunk(chunk)))
            self._tenants.setdefault(chunk.tenant, {})[chunk.id] = _Entry(
                kept, replace(kept, vector=UNREAD), words, words.total()
            )

    async def delete(self, tenant: str, chunk_ids: Sequence[str]) -> None:
        entries = self._tenants.get(tenant, {})
        for chunk_id in chunk_ids:
            entries.pop(chunk_id, None)

    async def delete_source(self, tenant: str, source: str) -> None:
        await self.delete(
            tenant, [entry.chunk.id for entry in self._entries(tenant) if entry.chunk.source == source]
        )

    async def vectors(
        self, tenant: str, embedding_id: str, chunk_hashes: Sequence[str]
    ) -> dict[str, Vectors]:
        wanted = set(chunk_hashes)
        return {
            entry.chunk.chunk_hash: entry.chunk.vector
            for entry in self._entries(tenant)
            if entry.chunk.chunk_hash in wanted and entry.chunk.embedding_id == embedding_id
        }

    async def search_lexical(
        self,
        tenant: str,
        text: str,
        k: int,
        filters: Filters,
        deadline: Deadline | None = None,
        *,
        reads_vectors: bool = False,
    ) -> list[Hit]:
        entries = self._entries(tenant)
        terms = _words(lexical_text.of_query(text))
        if not entries or not terms:
            return []
        weights = _inverse_frequencies(terms, entries)
        mean_words = sum(entry.num_words for entry in entries) / len(entries)
        hits = []
        for entry in entries:
            score = sum(weights[term] * _saturation(entry, term, mean_words) for term in terms)
            if score > 0 and passes(entry.chunk, filters):
                hits.append(Hit(entry.chunk if reads_vectors else entry.bare, score))
        return _best(hits, k)

    async def search_dense(
        self,
        tenant: str,
        embedding_id: str,
        vector: Vectors,
        k: int,
        filters: Filters,
        deadline: Deadline | None = None,
    ) -> list[Hit]:
        hits = [
            Hit(entry.bare, float(entry.chunk.vector @ vector))
            for entry in self._entries(tenant)
            if entry.chunk.embedding_id == embedding_id
            and entry.chunk.vector.shape == vector.shape
            and passes(entry.chunk, filters)
        ]
        return _best(hits, k)

    async def search_hybrid(
        self, tenant: str, query: HybridQuery, k: int, filters: Filters, deadline: Deadline | None = None
    ) -> list[Fused]:
        return await fuse_legs(self, tenant, query, k, filters, deadline)

    async def page(self, tenant: str, after: str, limit: int, filters: Filters) -> list[Chunk]:
        chunks = [entry.chunk for entry in self._entries(tenant) if entry.chunk.id > after]
        passing = (chunk for chunk in chunks if passes(chunk, filters))
        return sorted(passing, key=lambda chunk: chunk.id)[:limit]

    async def chunk_ids(self, tenant: str) -> set[str]:
        return set(self._tenants.get(tenant, {}))

    async def count(self, tenant: str) -> int:
        return len(self._tenants.get(tenant, {}))

    async def optimize(self) -> None:
        return

    async def thaw(self) -> None:
        return

    async def rebuild(self) -> None:
        return

    async def close(self) -> None:
        return

    def _entries(self, tenant: str) -> list[_Entry]:
        return list(self._tenants.get(tenant, {}).values())


def _best(hits: list[Hit], k: int) -> list[Hit]:
    return sorted(hits, key=lambda hit: (-hit.score, hit.chunk.id))[:k]


def _inverse_frequencies(terms: Sequence[str], entries: Sequence[_Entry]) -> dict[str, float]:
    """term -> BM25's inverse document frequency, in the form that is never negative (Lucene's)."""
    weights = {}
    for term in set(terms):
        num_with = sum(term in entry.words for entry in entries)
        weights[term] = math.log(1.0 + (len(entries) - num_with + 0.5) / (num_with + 0.5))
    return weights


def _saturation(entry: _Entry, term: str, mean_words: float) -> float:
    count = entry.words[term]
    return count * (_K1 + 1.0) / (count + _K1 * (1.0 - _B + _B * entry.num_words / mean_words))


def _words(text: str) -> list[str]:
    decomposed = unicodedata.normalize("NFKD", text.lower())
    folded = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    words = ((word, _stem(word)) for word in _WORD.findall(folded))
    return [stem for word, stem in words if word not in STOP_WORDS and stem not in STOP_WORDS]


def _stem(word: str) -> str:
    """Plural to singular (the S-stemmer of Harman 1991, "How effective is suffixing?")."""
    if word.endswith("ies") and not word.endswith(("eies", "aies")):
        return word[:-3] + "y"
    if word.endswith("es") and not word.endswith(("aes", "ees", "oes")):
        return word[:-1]
    if word.endswith("s") and not word.endswith(("us", "ss")):
        return word[:-1]
    return word
