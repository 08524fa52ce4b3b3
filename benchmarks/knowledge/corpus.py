"""A corpus that is made up: passages with words and vectors, questions, and what is exactly nearest to them.

Vectors lie in clusters, as those of texts do; words are drawn by Zipf's law; every tenth passage is of a part
that a filter can ask for. Everything follows from the size and the seed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DIM = 384
NUM_PARTS = 10
TOP = 10
_NUM_WORDS, _WORDS_A_PASSAGE, _WORDS_A_QUESTION = 20_000, 60, 6
_CLUSTER_SIZE = 100

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Corpus:
    """n passages and q questions."""

    texts: list[str]
    vectors: Floats  # (n, DIM), L2-normalised
    questions: list[str]
    asked: Floats  # (q, DIM), L2-normalised

    def part_of(self, index: int) -> str:
        return str(index % NUM_PARTS)


def make(num: int, seed: int = 0, num_questions: int = 200) -> Corpus:
    """The corpus of that size and seed."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((max(1, num // _CLUSTER_SIZE), DIM), dtype=np.float32)
    near = centres[rng.integers(0, len(centres), num)]
    vectors = _unit(near + 0.6 * rng.standard_normal((num, DIM), dtype=np.float32))
    asked = _unit(
        vectors[rng.integers(0, num, num_questions)]
        + 0.03 * rng.standard_normal((num_questions, DIM), dtype=np.float32)
    )
    return Corpus(
        texts=_texts(rng, num, _WORDS_A_PASSAGE),
        vectors=vectors,
        questions=_texts(rng, num_questions, _WORDS_A_QUESTION),
        asked=asked,
    )


def nearest(corpus: Corpus, *, part: str | None = None) -> list[list[int]]:
    """The TOP passages by cosine for each question, compared one by one; of one part only, if it is given."""
    allowed = np.arange(len(corpus.texts))
    if part is not None:
        allowed = allowed[allowed % NUM_PARTS == int(part)]
    found: list[list[int]] = []
    for vector in corpus.asked:
        cosines = corpus.vectors[allowed] @ vector
        best = np.argsort(-cosines, kind="stable")[:TOP]
        found.append(allowed[best].tolist())
    return found


def recall(found: list[list[int]], exact: list[list[int]]) -> float:
    """Share of the exact ones that were found; 0..1."""
    hits = sum(len(set(one) & set(other)) for one, other in zip(found, exact, strict=True))
    return hits / sum(len(other) for other in exact)


def _texts(rng: np.random.Generator, num: int, length: int) -> list[str]:
    words = np.minimum(rng.zipf(1.3, (num, length)), _NUM_WORDS)
    return [" ".join(f"word{number}" for number in row) for row in words]


def _unit(vectors: Floats) -> Floats:
    unit: Floats = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit
