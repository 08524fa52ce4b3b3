"""The sequences of one context: which text is in which, and what of a new text is there already.

A slot is one of llama.cpp's sequences, with room for a whole text. A text that is over leaves its tokens in its slot,
for the next one that begins like it: the next turn of a conversation, or another question after the same
instructions. A slot that is needed for another text hands what it has to `kept`.

llama.cpp computes sequences in one go only if their numbers follow each other: 15 texts in slots 0 to 6 and 8 to 15
take 53 ms a token where 16 in a row take 31 (135 M parameters, two cores). So texts are kept in a row: new ones are
put beside the others, and when one ends in the middle, the last one moves there.

Knows nothing of batches or time: who is served first is the engine's affair.
"""

from __future__ import annotations

import itertools
from typing import Protocol

import numpy as np

from serve_app.engines.llamacpp.kept import KeptText, KeptTexts, State, Tokens, common_prefix

# A beginning is worth putting back if it is at least this part of the text that it comes from: copying goes by the
# length of that text, at some ten thousand tokens in the time in which a hundred are read.
_COPY_SHARE = 1 / 64
# Tokens that are worth keeping when their slot is needed.
_WORTH_KEEPING = 64


class Memory(Protocol):
    """What is done to llama.cpp's sequences."""

    def state(self, sequence: int) -> State:
        """All of a sequence, as bytes."""
        ...

    def restore(self, sequence: int, state: State) -> None:
        """Make a sequence what another one was, whatever it has now."""
        ...

    def cut(self, sequence: int, num_tokens: int) -> None:
        """Keep only so many tokens of a sequence."""
        ...

    def num_tokens(self, sequence: int) -> int:
        """How many tokens of a sequence there are."""
        ...


class Slot:
    """One sequence of llama.cpp, and what it has in it."""

    __slots__ = ("_tokens", "id", "is_busy", "num_tokens", "used")

    def __init__(self, sequence: int, max_tokens: int) -> None:
        self.id = sequence
        self.is_busy = False
        self.num_tokens = 0
        self.used = 0  # when it was last given away or left, as a count
        self._tokens: Tokens = np.empty(max_tokens, dtype=np.int32)

    @property
    def tokens(self) -> Tokens:
        """(num_tokens,) int32, a view."""
        return self._tokens[: self.num_tokens]

    def extend(self, tokens: Tokens) -> None:
        """Its text goes on with these, which are computed now."""
        end = self.num_tokens + len(tokens)
        self._tokens[self.num_tokens : end] = tokens
        self.num_tokens = end


class Slots:
    """All sequences of one context.

    Args:
        num_slots: sequences that the context was opened with.
        max_tokens: of one text.
        kept: where texts go whose slot is needed.
        can_share: False for models that cannot forget a part of a text (recurrent ones): nothing is shared
            or kept then.
    """

    def __init__(
        self, num_slots: int, max_tokens: int, memory: Memory, kept: KeptTexts, *, can_share: bool = True
    ) -> None:
        self._memory = memory
        self._kept = kept
        self._can_share = can_share
        self._slots = [Slot(sequence, max_tokens) for sequence in range(num_slots)]
        self._clock = itertools.count(1)

    @property
    def num_slots(self) -> int:
        return len(self._slots)

    @property
    def num_busy(self) -> int:
        return sum(slot.is_busy for slot in self._slots)

    @property
    def num_astray(self) -> int:
        """Slots that count other tokens than there are in their sequence: none, or what is in them is wrong."""
        return sum(self._memory.num_tokens(slot.id) != slot.num_tokens for slot in self._slots)

    @property
    def num_excess_bytes(self) -> int:
        """See `KeptTexts`."""
        return self._kept.num_excess_bytes

    def num_common(self, tokens: Tokens) -> int:
        """How much of a text's beginning is there."""
        if not self._can_share:
            return 0
        in_slots = max(common_prefix(slot.tokens, tokens) for slot in self._slots)
        return max(in_slots, self._kept.best_prefix(tokens)[1])

    def take(self, tokens: Tokens) -> Slot | None:
        """A slot that has as much of the text's beginning as there is, and never all of it.

        Its last token is always computed again: only that gives the logits of what follows.

        Returns:
            The slot, busy from now on; None: every slot is busy.
        """
        idle = self._beside_the_busy()
        if not idle:
            return None
        slot = self._fill(idle, tokens[:-1]) if self._can_share else idle[0]
        slot.is_busy = True
        slot.used = next(self._clock)
        return slot

    def leave(self, slot: Slot) -> None:
        """The text is over; its tokens stay until the slot is needed."""
        slot.is_busy = False
        slot.used = next(self._clock)
        if not self._can_share:
            self._cut(slot, 0)

    def drop(self, slot: Slot) -> None:
        """The text is over, and its tokens are of no use."""
        slot.is_busy = False
        self._cut(slot, 0)

    def close_ranks(self) -> tuple[Slot, Slot] | None:
        """Move the last text into the first gap between the others.

        Returns:
            Its slot until now, and from now on; None: there is no gap.
        """
        busy = [slot for slot in self._slots if slot.is_busy]
        if not self._can_share or not busy or busy[-1].id - busy[0].id + 1 == len(busy):
            return None
        gap = next(slot for slot in self._slots[busy[0].id :] if not slot.is_busy)
        last = busy[-1]
        self._keep(gap, 0)
        self._memory.restore(gap.id, self._memory.state(last.id))
        gap.num_tokens = 0
        gap.extend(last.tokens)
        gap.is_busy, gap.used = True, last.used
        self.drop(last)
        return last, gap

    # --------

    def _beside_the_busy(self) -> list[Slot]:
        """Idle slots that leave the busy ones in a row, or as nearly so as can be."""
        busy = [slot.id for slot in self._slots if slot.is_busy]
        idle = [slot for slot in self._slots if not slot.is_busy]
        if not busy:
            return idle
        first, last = busy[0], busy[-1]
        within = [slot for slot in idle if first < slot.id < last]
        return within or [slot for slot in idle if slot.id in (first - 1, last + 1)] or idle

    def _fill(self, idle: list[Slot], tokens: Tokens) -> Slot:
        """One of these slots, with the text's beginning in it, as far as that is there."""
        own, num_own = _best(idle, tokens)
        source, num_common = _best(self._slots, tokens)
        kept, num_kept = self._kept.best_prefix(tokens)
        if (
            num_kept > num_own
            and num_kept >= num_common
            and kept is not None
            and _is_worth(num_kept, len(kept.tokens))
        ):
            return self._put_back(idle, kept, num_kept)
        if num_common > num_own and source is not None and _is_worth(num_common, source.num_tokens):
            text = KeptText(source.tokens.copy(), self._memory.state(source.id))
            if source.is_busy:
                # Others may want the same beginning; and it is there now, which a second look need not copy again.
                self._kept.put(text)
            return self._put_back(idle, text, num_common)
        slot = (
            own
            if own is not None and num_own
            else min(idle, key=lambda slot: (slot.num_tokens > 0, slot.used))
        )
        self._keep(slot, num_own)
        self._cut(slot, num_own)
        return slot

    def _put_back(self, idle: list[Slot], text: KeptText, num_tokens: int) -> Slot:
        slot = min(idle, key=lambda slot: (slot.num_tokens > 0, slot.used))
        self._keep(slot, 0)
        self._memory.restore(slot.id, text.state)
        slot.num_tokens = 0
        slot.extend(text.tokens)
        self._cut(slot, num_tokens)
        self._kept.touch(text)
        return slot

    def _keep(self, slot: Slot, num_common: int) -> None:
        """Before all but a beginning of what is in a slot is given up: keep it, if it is worth it."""
        if slot.num_tokens - num_common < _WORTH_KEEPING:
            return
        if self._kept.best_prefix(slot.tokens)[1] == slot.num_tokens:
            return
        self._kept.put(KeptText(slot.tokens.copy(), self._memory.state(slot.id)))

    def _cut(self, slot: Slot, num_tokens: int) -> None:
        if slot.num_tokens > num_tokens:
            self._memory.cut(slot.id, num_tokens)
            slot.num_tokens = num_tokens


def _best(slots: list[Slot], tokens: Tokens) -> tuple[Slot | None, int]:
    """The slot with the longest common beginning, and its length; of equals the one that was used last."""
    best, num_best = None, 0
    for slot in slots:
        num = common_prefix(slot.tokens, tokens)
        if num > num_best or (num == num_best > 0 and best is not None and slot.used > best.used):
            best, num_best = slot, num
    return best, num_best


def _is_worth(num_tokens: int, of_tokens: int) -> bool:
    return num_tokens >= _COPY_SHARE * of_tokens
