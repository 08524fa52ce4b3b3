"""Answers in this process' memory: bounded in bytes, the least used go first."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from serve_app.answer_cache.base import Candidate, Entry, Vector

_OVERHEAD_BYTES = 512  # of an entry, besides its frames


@dataclass(slots=True)
class _Kept:
    entry: Entry
    until_s: float
    scope: str | None
    num_bytes: int


class EmbeddedAnswers:
    """An AnswerStore.

    Args:
        max_bytes: of frames, vectors and questions.
        max_questions: in one scope.
        clock: monotonic seconds.
    """

    def __init__(
        self, max_bytes: int, max_questions: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_bytes = max_bytes
        self._max_questions = max_questions
        self._clock = clock
        self._kept: OrderedDict[str, _Kept] = OrderedDict()  # least used first
        self._scopes: dict[str, Scope] = {}
        self.num_bytes = 0

    async def get(self, key: str) -> Entry | None:
        kept = self._kept.get(key)
        if kept is None:
            return None
        if kept.until_s <= self._clock():
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return kept.entry

    async def put(
        self, key: str, entry: Entry, ttl_s: float, scope: str | None = None, vector: Vector | None = None
    ) -> None:
        self._drop(key)
        num_bytes = entry.num_bytes + len(entry.question) + _OVERHEAD_BYTES
        num_bytes += 0 if vector is None else vector.nbytes
        if num_bytes > self._max_bytes:
            return
        if scope is not None and vector is not None:
            questions = self._scopes.setdefault(scope, Scope())
            questions.add(key, vector)
            if len(questions) > self._max_questions:
                self._drop(questions.oldest())
        self._kept[key] = _Kept(entry, self._clock() + ttl_s, scope, num_bytes)
        self.num_bytes += num_bytes
        while self.num_bytes > self._max_bytes:
            self._drop(next(iter(self._kept)))

    async def nearest(self, scope: str, vector: Vector, k: int) -> Sequence[Candidate]:
        questions = self._scopes.get(scope)
        return () if questions is None else questions.nearest(vector, k)

    async def close(self) -> None:
        self._kept.clear()
        self._scopes.clear()
        self.num_bytes = 0

    def _drop(self, key: str) -> None:
        kept = self._kept.pop(key, None)
        if kept is None:
            return
        self.num_bytes -= kept.num_bytes
        if kept.scope is not None and (questions := self._scopes.get(kept.scope)) is not None:
            questions.remove(key)
            if not len(questions):
                del self._scopes[kept.scope]


class Scope:
    """The vectors of one scope, compared all at once."""

    __slots__ = ("_matrix", "_rows", "_vectors")

    def __init__(self) -> None:
        self._vectors: OrderedDict[str, Vector] = OrderedDict()  # oldest first
        # Of all of them, in their order; None: not made since the last change.
        self._matrix: Vector | None = None
        self._rows: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self._vectors)

    def add(self, key: str, vector: Vector) -> None:
        self._vectors[key] = vector
        self._matrix = None

    def remove(self, key: str) -> None:
        if self._vectors.pop(key, None) is not None:
            self._matrix = None

    def oldest(self) -> str:
        return next(iter(self._vectors))

    def nearest(self, vector: Vector, k: int) -> list[Candidate]:
        """At most `k`, nearest first. Vectors of another length belong to another embedder, and are left out."""
        if self._matrix is None:
            same = {key: one for key, one in self._vectors.items() if one.shape == vector.shape}
            if not same:
                return []
            self._rows, self._matrix = tuple(same), np.stack(list(same.values()))
        if self._matrix.shape[1] != vector.shape[0]:
            self._matrix = None
            return []
        cosines = self._matrix @ vector
        best = np.argsort(-cosines, kind="stable")[:k]
        return [Candidate(self._rows[row], float(cosines[row])) for row in best]
