"""The cache of keys and values: whose tokens are in it, and which of them others share.

llama.cpp keeps keys and values in cells, one for a token at its position. A slot is one of its sequences; two
slots whose texts begin alike can have cells in common, so that a prefix is computed once. A text that is over
leaves its tokens in its slot, until somebody needs the slot or the cells. llama.cpp does not say how many
cells are free, so they are counted here.

Knows nothing of texts, batches or time: who is served first is `turns`' affair.
"""

from __future__ import annotations

import itertools
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.int32]

# Of an idle slot's tokens, the part that a new text must have in common to take the slot over; a text that
# has less gets a copy, so that the rest stays for the conversation that it belongs to.
_OWN_SHARE = 0.5


class Memory(Protocol):
    """What is done to llama.cpp's cache."""

    def share(self, source: int, target: int, num_tokens: int) -> None:
        """Sequence `target`, which is empty, gets the first tokens of `source`, in the same cells."""
        ...

    def cut(self, sequence: int, num_tokens: int) -> None:
        """Keep only so many tokens of a sequence."""
        ...


class _Piece:
    """Cells that stand together in every slot that has them."""

    __slots__ = ("num_cells", "num_slots")

    def __init__(self, num_cells: int) -> None:
        self.num_cells = num_cells
        self.num_slots = 1


class Slot:
    """One sequence of llama.cpp, and what the cache has of it."""

    __slots__ = ("_tokens", "id", "is_busy", "num_tokens", "pieces", "used")

    def __init__(self, sequence: int, max_tokens: int) -> None:
        self.id = sequence
        self.is_busy = False
        self.num_tokens = 0
        self.pieces: list[_Piece] = []
        self.used = 0  # when it was last given away, as a count
        self._tokens: Tokens = np.empty(max_tokens, dtype=np.int32)

    @property
    def tokens(self) -> Tokens:
        """(num_tokens,) int32, a view."""
        return self._tokens[: self.num_tokens]

    def put(self, tokens: Tokens) -> None:
        end = self.num_tokens + len(tokens)
        self._tokens[self.num_tokens : end] = tokens
        self.num_tokens = end


class Slots:
    """All sequences of one context.

    Args:
        num_slots: sequences that the context was opened with.
        num_cells: tokens that its cache holds, all sequences together.
        max_tokens: of one text.
        can_share: False for models that cannot forget a part of a text (recurrent ones): nothing is shared
            or kept then.
    """

    def __init__(
        self, num_slots: int, num_cells: int, max_tokens: int, memory: Memory, *, can_share: bool = True
    ) -> None:
        self._memory = memory
        self._can_share = can_share
        self._slots = [Slot(sequence, max_tokens) for sequence in range(num_slots)]
        self._clock = itertools.count(1)
        self._num_cells = num_cells
        self.num_free_cells = num_cells

    def best_prefix(self, tokens: Tokens) -> tuple[Slot | None, int]:
        """The slot that has most of the text's beginning, and how many tokens of it."""
        best: Slot | None = None
        num_best = 0
        if self._can_share:
            for slot in self._slots:
                num_common = common_prefix(slot.tokens, tokens)
                # Of equals the idle one, which can be had without a copy.
                if num_common > num_best or (num_common == num_best > 0 and not slot.is_busy):
                    best, num_best = slot, num_common
        return best, num_best

    def take(self, tokens: Tokens, num_spare: int) -> Slot | None:
        """A slot that has as much of the text's beginning as the cache has, and never all of it.

        Its last token is always computed again: only that gives the logits of what follows.

        Args:
            tokens: of the text.
            num_spare: cells that must be free once the whole text is in.

        Returns:
            The slot, busy from now on; None: every slot is busy, or the cells are.
        """
        source, num_common = self.best_prefix(tokens[:-1])
        num_needed = len(tokens) - num_common + num_spare
        slot = self._choose(source, num_common)
        if slot is None or self._num_cells - self._num_bound(source, num_common) < num_needed:
            return None
        self._cut(slot, num_common if slot is source else 0)
        if slot is not source and source is not None and num_common:
            self._share(source, slot, num_common)
        slot.is_busy = True
        slot.used = next(self._clock)
        self.free(num_needed)
        return slot

    def extend(self, slot: Slot, tokens: Tokens) -> None:
        """The slot's text goes on with these, which are computed now."""
        num = len(tokens)
        if slot.pieces and slot.pieces[-1].num_slots == 1:
            slot.pieces[-1].num_cells += num
        else:
            slot.pieces.append(_Piece(num))
        slot.put(tokens)
        self.num_free_cells -= num

    def leave(self, slot: Slot) -> None:
        """The text is over; its tokens stay until they are in the way."""
        slot.is_busy = False
        slot.used = next(self._clock)
        if not self._can_share:
            self._cut(slot, 0)

    def drop(self, slot: Slot) -> None:
        """The text is over, and its tokens are of no use."""
        slot.is_busy = False
        self._cut(slot, 0)

    def free(self, num_cells: int) -> bool:
        """Give up idle slots, longest unused first, until so many cells are free. False: there are too few."""
        for slot in sorted(self._slots, key=lambda slot: slot.used):
            if self.num_free_cells >= num_cells:
                break
            if not slot.is_busy:
                self._cut(slot, 0)
        return self.num_free_cells >= num_cells

    # --------

    def _choose(self, source: Slot | None, num_common: int) -> Slot | None:
        """The slot for a text that has so much in common with `source`."""
        if source is not None and not source.is_busy and num_common >= _OWN_SHARE * source.num_tokens:
            return source
        idle = [slot for slot in self._slots if not slot.is_busy and slot is not source]
        if idle:
            # Empty ones first, for they were never used or were given up.
            return min(idle, key=lambda slot: (slot.num_tokens > 0, slot.used))
        return source if source is not None and not source.is_busy else None

    def _num_bound(self, source: Slot | None, num_common: int) -> int:
        """Cells that stay when every idle slot is given up, but for the beginning that is wanted of `source`."""
        bound = {id(piece): piece.num_cells for slot in self._slots if slot.is_busy for piece in slot.pieces}
        num, at = sum(bound.values()), 0
        for piece in source.pieces if source is not None else ():
            if at < num_common and id(piece) not in bound:
                num += min(piece.num_cells, num_common - at)
            at += piece.num_cells
        return num

    def _share(self, source: Slot, target: Slot, num_tokens: int) -> None:
        self._split(source, num_tokens)
        self._memory.share(source.id, target.id, num_tokens)
        at = 0
        for piece in source.pieces:
            if at == num_tokens:
                break
            piece.num_slots += 1
            target.pieces.append(piece)
            at += piece.num_cells
        target.put(source.tokens[:num_tokens])

    def _cut(self, slot: Slot, num_tokens: int) -> None:
        if slot.num_tokens == num_tokens:
            return
        self._split(slot, num_tokens)
        self._memory.cut(slot.id, num_tokens)
        at = 0
        kept: list[_Piece] = []
        for piece in slot.pieces:
            if at < num_tokens:
                kept.append(piece)
            else:
                piece.num_slots -= 1
                if piece.num_slots == 0:
                    self.num_free_cells += piece.num_cells
            at += piece.num_cells
        slot.pieces = kept
        slot.num_tokens = num_tokens

    def _split(self, slot: Slot, num_tokens: int) -> None:
        """See that a piece ends after so many tokens of the slot, in every slot that has it."""
        at = 0
        for piece in slot.pieces:
            if at < num_tokens < at + piece.num_cells:
                rest = _Piece(at + piece.num_cells - num_tokens)
                rest.num_slots = piece.num_slots
                piece.num_cells = num_tokens - at
                for other in self._slots:
                    if piece in other.pieces:
                        other.pieces.insert(other.pieces.index(piece) + 1, rest)
                return
            at += piece.num_cells


def common_prefix(one: Tokens, other: Tokens) -> int:
    """How many tokens two texts have in common at their beginning."""
    num = min(len(one), len(other))
    differs = np.flatnonzero(one[:num] != other[:num])
    return int(differs[0]) if len(differs) else num
