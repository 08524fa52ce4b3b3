"""A question with a known answer, asked again and again of an engine that has nothing else to do. Pure.

An engine whose weights changed in memory, or under it on disk, goes on answering, quickly and wrongly, and no
other check sees that. Greedy decoding of the same prompt in the same process gives the same tokens, so the
engine's own first answer is the one to compare with; nothing is known of what is right.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from serve_app.errors import EngineFailed

AnswerT = TypeVar("AnswerT")

# Texts that share a step change the last bits of a vector; what is broken changes far more.
MIN_COSINE = 0.999
# One answer that differs may be an accident of rounding.
MAX_CHANGED = 2


class Canary(Generic[AnswerT]):
    """When to ask, and what the answers mean.

    Args:
        name: of the engine, for messages.
        period_s: seconds between two questions; None: never ask.
        is_same: whether an answer is as good as the first one.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        name: str,
        period_s: float | None,
        is_same: Callable[[AnswerT, AnswerT], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._period_s = period_s
        self._is_same = is_same
        self._clock = clock
        self._first: AnswerT | None = None
        self._asked_s: float | None = None
        self._num_changed = 0

    def is_due(self) -> bool:
        """Whether to ask now; after an answer that differed, at every opportunity."""
        if self._period_s is None:
            return False
        if self._asked_s is None or self._num_changed:
            return True
        return self._clock() - self._asked_s >= self._period_s

    def asked(self) -> None:
        """The question is being asked; real work that comes in between may leave it without an answer."""
        self._asked_s = self._clock()

    def answered(self, answer: AnswerT) -> None:
        if self._first is None:
            self._first = answer
        elif self._is_same(self._first, answer):
            self._num_changed = 0
        else:
            self._num_changed += 1

    def check(self) -> None:
        """Return if the answers are what they were.

        Raises:
            EngineFailed: the last MAX_CHANGED of them were not.
        """
        if self._num_changed >= MAX_CHANGED:
            raise EngineFailed(
                f"{self._name} answers the same question otherwise than at its start, {self._num_changed} times "
                "in a row: its weights in memory have changed"
            )


def same_direction(first: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    """Whether two vectors, (dim,) of length 1, have a cosine of at least MIN_COSINE."""
    return float(first @ other) >= MIN_COSINE
