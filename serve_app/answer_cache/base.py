"""What a cache keeps, and the contract of where it keeps it.

Stores know keys and scopes, and nothing of what they mean: whatever must not be mixed up (tenants, models, system
prompts) is in them already (`canonical`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Entry:
    """An answer as it left, frame by frame."""

    frames: tuple[bytes, ...]
    made_at_s: float  # wall clock
    model: str | None = None  # that answered, where it was another one than was asked
    question: str = ""  # that it answers, where it can be found by meaning

    @property
    def num_bytes(self) -> int:
        return sum(map(len, self.frames))


@dataclass(frozen=True, slots=True)
class Candidate:
    """A kept answer whose question is near."""

    key: str
    cosine: float


class AnswerStore(Protocol):
    """Where answers are kept. All methods raise Unavailable where the store is gone."""

    async def get(self, key: str) -> Entry | None:
        """The answer; None: there is none, or its time is over."""
        ...

    async def put(
        self, key: str, entry: Entry, ttl_s: float, scope: str | None = None, vector: Vector | None = None
    ) -> None:
        """Keep an answer for `ttl_s`; with a scope and a vector (L2-normalised) it is found by meaning, too."""
        ...

    async def nearest(self, scope: str, vector: Vector, k: int) -> Sequence[Candidate]:
        """At most `k` answers of the scope, nearest first. Some may be gone by the time that they are asked for."""
        ...

    async def close(self) -> None: ...
