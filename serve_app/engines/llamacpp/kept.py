"""Texts that left their slot, kept in the machine's memory for texts that begin like them.

What is kept of a text is llama.cpp's state of its sequence: keys and values of every token. To put it back takes
about a thousandth of the time that reading the text would take. Knows nothing of llama.cpp.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.int32]
State = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class KeptText:
    """A text and its state."""

    tokens: Tokens  # (n,) int32
    state: State  # (num_bytes,) uint8


class KeptTexts:
    """The texts that were used last, within a number of bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._texts: OrderedDict[int, KeptText] = OrderedDict()  # id of the text -> it, longest unused first
        self.num_bytes = 0

    def __len__(self) -> int:
        return len(self._texts)

    @property
    def num_excess_bytes(self) -> int:
        """Kept above the bound, or counted wrongly: 0."""
        num_bytes = sum(text.state.nbytes for text in self._texts.values())
        return max(0, num_bytes - self._max_bytes) + abs(self.num_bytes - num_bytes)

    def best_prefix(self, tokens: Tokens) -> tuple[KeptText | None, int]:
        """The text that has most of these tokens' beginning, and how many of them."""
        best: KeptText | None = None
        num_best = 0
        for text in self._texts.values():
            num_common = common_prefix(text.tokens, tokens)
            if num_common > num_best:
                best, num_best = text, num_common
        return best, num_best

    def put(self, text: KeptText) -> None:
        """Keep a text instead of those that are its beginning, and of as many others as need be.

        One that is larger than all that may be kept is not.
        """
        if text.state.nbytes > self._max_bytes:
            return
        for other in list(self._texts.values()):
            if common_prefix(other.tokens, text.tokens) == len(other.tokens):
                self._drop(other)
        self._texts[id(text)] = text
        self.num_bytes += text.state.nbytes
        while self.num_bytes > self._max_bytes:
            self._drop(next(iter(self._texts.values())))

    def touch(self, text: KeptText) -> None:
        """It was used just now."""
        if id(text) in self._texts:
            self._texts.move_to_end(id(text))

    def _drop(self, text: KeptText) -> None:
        del self._texts[id(text)]
        self.num_bytes -= text.state.nbytes


def common_prefix(one: Tokens, other: Tokens) -> int:
    """How many tokens two texts have in common at their beginning."""
    num = min(len(one), len(other))
    differs = np.flatnonzero(one[:num] != other[:num])
    return int(differs[0]) if len(differs) else num
