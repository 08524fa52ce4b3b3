from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from serve_app.engines.llamacpp.slots import Slot, Slots, Tokens, common_prefix

NUM_SLOTS, NUM_CELLS, MAX_TOKENS = 4, 40, 24


def tokens(*ids: int) -> Tokens:
    return np.asarray(ids, dtype=np.int32)


class Cells:
    """llama.cpp's cache as it does it: cells, and the sequences that each belongs to."""

    def __init__(self) -> None:
        self.of: dict[int, list[object]] = {sequence: [] for sequence in range(NUM_SLOTS)}

    def share(self, source: int, target: int, num_tokens: int) -> None:
        assert not self.of[target]
        assert len(self.of[source]) >= num_tokens
        self.of[target] = self.of[source][:num_tokens]

    def cut(self, sequence: int, num_tokens: int) -> None:
        assert len(self.of[sequence]) >= num_tokens
        self.of[sequence] = self.of[sequence][:num_tokens]

    def compute(self, sequence: int, num_tokens: int) -> None:
        self.of[sequence] = self.of[sequence] + [object() for _ in range(num_tokens)]
        assert self.num_used <= NUM_CELLS

    @property
    def num_used(self) -> int:
        return len({id(cell) for cells in self.of.values() for cell in cells})


def filled(*texts: Tokens, is_busy: bool = False) -> tuple[Slots, list[Slot]]:
    cells = Cells()
    slots = Slots(NUM_SLOTS, NUM_CELLS, MAX_TOKENS, cells)
    taken = []
    for text in texts:
        slot = slots.take(text, 0)
        assert slot is not None
        cells.compute(slot.id, len(text) - slot.num_tokens)
        slots.extend(slot, text[slot.num_tokens :])
        taken.append(slot)
    if not is_busy:
        for slot in taken:
            slots.leave(slot)
    return slots, taken


def test_a_prefix_in_common_is_counted_from_the_beginning() -> None:
    assert common_prefix(tokens(1, 2, 3), tokens(1, 2, 4, 3)) == 2
    assert common_prefix(tokens(1, 2), tokens(1, 2, 4)) == 2
    assert common_prefix(tokens(), tokens(1)) == 0


def test_the_next_turn_of_a_conversation_goes_on_in_its_slot() -> None:
    slots, (first,) = filled(tokens(1, 2, 3, 4))
    slot = slots.take(tokens(1, 2, 3, 4, 5, 6), 0)
    assert slot is first
    assert slot.num_tokens == 4


def test_a_text_that_shares_only_a_beginning_leaves_the_rest_alone() -> None:
    slots, (first,) = filled(tokens(1, 2, 3, 4, 5, 6))
    slot = slots.take(tokens(1, 2, 9, 9), 0)
    assert slot is not None
    assert slot is not first
    assert slot.tokens.tolist() == [1, 2]
    assert first.num_tokens == 6
    assert slots.num_free_cells == NUM_CELLS - 6  # the two are shared


def test_the_last_token_of_a_prompt_is_always_computed() -> None:
    slots, _ = filled(tokens(1, 2, 3))
    slot = slots.take(tokens(1, 2, 3), 0)
    assert slot is not None
    assert slot.num_tokens == 2


def test_a_text_that_is_being_read_shares_what_is_there() -> None:
    slots, (first,) = filled(tokens(1, 2, 3, 4), is_busy=True)
    slot = slots.take(tokens(1, 2, 3, 7), 0)
    assert slot is not None
    assert slot is not first
    assert slot.num_tokens == 3


def test_cells_of_idle_texts_are_given_up_longest_unused_first() -> None:
    slots, (old, new) = filled(tokens(*range(10, 22)), tokens(*range(30, 42)))
    slot = slots.take(tokens(*range(50, 70)), 0)
    assert slot is not None
    assert old.num_tokens == 0
    assert new.num_tokens == 12


def test_nothing_is_given_up_for_a_text_that_does_not_fit() -> None:
    slots, (busy, idle) = filled(tokens(*range(10, 30)), tokens(1, 2, 3), is_busy=True)
    slots.leave(idle)
    assert slots.take(tokens(*range(50, 71)), 0) is None
    assert idle.num_tokens == 3
    assert busy.num_tokens == 20


def test_a_model_that_cannot_forget_parts_keeps_nothing() -> None:
    cells = Cells()
    slots = Slots(NUM_SLOTS, NUM_CELLS, MAX_TOKENS, cells, can_share=False)
    slot = slots.take(tokens(1, 2, 3), 0)
    assert slot is not None
    cells.compute(slot.id, 3)
    slots.extend(slot, tokens(1, 2, 3))
    slots.leave(slot)
    assert slots.num_free_cells == NUM_CELLS
    again = slots.take(tokens(1, 2, 3), 0)
    assert again is not None
    assert again.num_tokens == 0


TEXTS = st.lists(st.integers(0, 2), min_size=1, max_size=MAX_TOKENS - 4).map(lambda ids: tokens(*ids))


class AgainstTheCache(RuleBasedStateMachine):
    """Whatever texts do, the count of free cells is what the cache has, and so is every slot's length."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = Cells()
        self.slots = Slots(NUM_SLOTS, NUM_CELLS, MAX_TOKENS, self.cells)
        self.texts: list[tuple[Slot, Tokens]] = []

    @rule(text=TEXTS, num_spare=st.integers(0, 4))
    def begins(self, text: Tokens, num_spare: int) -> None:
        slot = self.slots.take(text, num_spare)
        if slot is None:
            assert self.texts  # alone, every text fits
            return
        assert slot.tokens.tolist() == text[: slot.num_tokens].tolist()
        rest = text[slot.num_tokens :]
        assert len(rest) > 0
        assert self.slots.num_free_cells >= len(rest) + num_spare
        self.cells.compute(slot.id, len(rest))
        self.slots.extend(slot, rest)
        self.texts.append((slot, text))

    @precondition(lambda self: self.texts)
    @rule(data=st.data())
    def goes_on(self, data: st.DataObject) -> None:
        slot, _ = data.draw(st.sampled_from(self.texts))
        if slot.num_tokens < MAX_TOKENS and self.slots.free(1):
            self.cells.compute(slot.id, 1)
            self.slots.extend(slot, tokens(data.draw(st.integers(0, 2))))

    @precondition(lambda self: self.texts)
    @rule(data=st.data(), is_kept=st.booleans())
    def ends(self, data: st.DataObject, is_kept: bool) -> None:
        index = data.draw(st.integers(0, len(self.texts) - 1))
        slot, _ = self.texts.pop(index)
        (self.slots.leave if is_kept else self.slots.drop)(slot)

    @invariant()
    def counts_agree(self) -> None:
        assert self.slots.num_free_cells == NUM_CELLS - self.cells.num_used

    @invariant()
    def lengths_agree(self) -> None:
        for slot in self.slots._slots:
            assert slot.num_tokens == len(self.cells.of[slot.id])
            assert sum(piece.num_cells for piece in slot.pieces) == slot.num_tokens


TestAgainstTheCache = AgainstTheCache.TestCase
