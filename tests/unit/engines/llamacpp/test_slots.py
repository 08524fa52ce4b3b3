from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from serve_app.engines.llamacpp.kept import KeptTexts, State, Tokens
from serve_app.engines.llamacpp.slots import Slot, Slots

NUM_SLOTS, MAX_TOKENS = 4, 200
BYTES_PER_TOKEN = 4


def tokens(*ids: int) -> Tokens:
    return np.asarray(ids, dtype=np.int32)


def counting(start: int, num: int) -> Tokens:
    return np.arange(start, start + num, dtype=np.int32)


class Sequences:
    """llama.cpp's sequences, with their tokens for keys and values."""

    def __init__(self) -> None:
        self.of: dict[int, Tokens] = {sequence: tokens() for sequence in range(NUM_SLOTS)}
        self.num_restored = 0

    def state(self, sequence: int) -> State:
        return self.of[sequence].view(np.uint8).copy()

    def restore(self, sequence: int, state: State) -> None:
        self.of[sequence] = state.view(np.int32).copy()
        self.num_restored += 1

    def cut(self, sequence: int, num_tokens: int) -> None:
        assert len(self.of[sequence]) >= num_tokens
        self.of[sequence] = self.of[sequence][:num_tokens]

    def num_tokens(self, sequence: int) -> int:
        return len(self.of[sequence])

    def compute(self, slot: Slot, text: Tokens) -> None:
        """The rest of a text, as the engine does it."""
        rest = text[slot.num_tokens :]
        self.of[slot.id] = np.concatenate((self.of[slot.id], rest))
        slot.extend(rest)


def opened(max_bytes: int = 10_000, *, can_share: bool = True) -> tuple[Slots, Sequences]:
    memory = Sequences()
    return Slots(NUM_SLOTS, MAX_TOKENS, memory, KeptTexts(max_bytes), can_share=can_share), memory


def begun(slots: Slots, memory: Sequences, text: Tokens) -> Slot:
    slot = slots.take(text)
    assert slot is not None
    memory.compute(slot, text)
    return slot


def test_the_next_turn_of_a_conversation_goes_on_in_its_slot() -> None:
    slots, memory = opened()
    first = begun(slots, memory, counting(0, 50))
    slots.leave(first)
    slot = slots.take(counting(0, 60))
    assert slot is first
    assert slot.num_tokens == 50
    assert memory.num_restored == 0


def test_the_last_token_of_a_prompt_is_always_computed() -> None:
    slots, memory = opened()
    slots.leave(begun(slots, memory, counting(0, 50)))
    slot = slots.take(counting(0, 50))
    assert slot is not None
    assert slot.num_tokens == 49


def test_a_beginning_is_copied_from_a_text_that_is_under_way() -> None:
    slots, memory = opened()
    first = begun(slots, memory, counting(0, 50))
    slot = slots.take(np.concatenate((counting(0, 40), counting(500, 5))))
    assert slot is not None
    assert slot is not first
    assert slot.num_tokens == 40


def test_the_beginning_that_many_share_is_read_out_once() -> None:
    slots, memory = opened()
    begun(slots, memory, counting(0, 50))
    read: list[int] = []
    state = memory.state
    memory.state = lambda sequence: (read.append(sequence), state(sequence))[1]  # type: ignore[method-assign]
    for index in range(3):
        slot = slots.take(np.concatenate((counting(0, 40), tokens(500 + index, 600))))
        assert slot is not None
        assert slot.num_tokens == 40
    assert len(read) == 1


def test_a_text_whose_slot_was_needed_comes_back_from_memory() -> None:
    slots, memory = opened()
    first = begun(slots, memory, counting(0, 100))
    others = [begun(slots, memory, counting(1000 * index, 20)) for index in range(1, NUM_SLOTS)]
    slots.leave(first)
    slots.leave(begun(slots, memory, counting(9000, 100)))  # takes the only idle slot
    for slot in others:
        slots.leave(slot)
    slot = slots.take(counting(0, 120))
    assert slot is not None
    assert slot.num_tokens == 100


def test_a_few_tokens_of_a_long_text_are_not_worth_a_copy() -> None:
    slots, memory = opened()
    begun(slots, memory, counting(0, MAX_TOKENS))
    slot = slots.take(tokens(0, 1, 900, 901))
    assert slot is not None
    assert slot.num_tokens == 0


def test_texts_stand_in_a_row() -> None:
    slots, memory = opened()
    taken = [begun(slots, memory, counting(1000 * index, 10)) for index in range(3)]
    assert [slot.id for slot in taken] == [0, 1, 2]
    slots.leave(taken[1])
    assert begun(slots, memory, counting(5000, 10)).id == 1


def test_the_last_text_closes_a_gap() -> None:
    slots, memory = opened()
    taken = [begun(slots, memory, counting(1000 * index, 10)) for index in range(4)]
    slots.leave(taken[1])
    assert slots.close_ranks() == (taken[3], taken[1])
    assert taken[1].tokens.tolist() == counting(3000, 10).tolist()
    assert not taken[3].is_busy
    assert slots.close_ranks() is None


def test_gaps_at_the_ends_are_none() -> None:
    slots, memory = opened()
    taken = [begun(slots, memory, counting(1000 * index, 10)) for index in range(4)]
    slots.leave(taken[0])
    slots.leave(taken[3])
    assert slots.close_ranks() is None


def test_nobody_gets_a_slot_when_all_are_busy() -> None:
    slots, memory = opened()
    for index in range(NUM_SLOTS):
        begun(slots, memory, counting(1000 * index, 10))
    assert slots.take(tokens(1, 2)) is None


def test_a_model_that_cannot_forget_parts_keeps_nothing() -> None:
    slots, memory = opened(can_share=False)
    slots.leave(begun(slots, memory, counting(0, 100)))
    slot = slots.take(counting(0, 120))
    assert slot is not None
    assert slot.num_tokens == 0
    assert slots.num_common(counting(0, 50)) == 0
    assert slots.close_ranks() is None


TEXTS = st.tuples(st.integers(0, 3), st.integers(1, MAX_TOKENS - 20), st.integers(0, 10)).map(
    lambda drawn: np.concatenate((counting(1000 * drawn[0], drawn[1]), counting(9000, drawn[2])))
)


def test_a_slot_that_is_wrong_about_its_sequence_is_counted() -> None:
    slots, memory = opened()
    slots.leave(begun(slots, memory, counting(0, 50)))
    assert (slots.num_busy, slots.num_astray) == (0, 0)
    memory.cut(0, 49)
    memory.of[2] = counting(0, 1)
    assert slots.num_astray == 2


class AgainstTheSequences(RuleBasedStateMachine):
    """Whatever texts do, every slot says what its sequence has, and what a text is given is its own beginning."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = Sequences()
        self.kept = KeptTexts(BYTES_PER_TOKEN * 400)
        self.slots = Slots(NUM_SLOTS, MAX_TOKENS, self.memory, self.kept)
        self.texts: list[tuple[Slot, Tokens]] = []

    @rule(text=TEXTS, share=st.floats(0, 1))
    def begins(self, text: Tokens, share: float) -> None:
        num_common = self.slots.num_common(text[:-1])
        slot = self.slots.take(text)
        if slot is None:
            assert len(self.texts) == NUM_SLOTS
            return
        assert slot not in [other for other, _ in self.texts]
        assert slot.num_tokens <= min(num_common, len(text) - 1)
        assert slot.tokens.tolist() == text[: slot.num_tokens].tolist()
        self.texts.append((slot, text))
        self.memory.compute(slot, text[: max(slot.num_tokens, int(share * len(text)))])

    @precondition(lambda self: self.texts)
    @rule(data=st.data())
    def goes_on(self, data: st.DataObject) -> None:
        slot, text = data.draw(st.sampled_from(self.texts))
        self.memory.compute(slot, text)

    @precondition(lambda self: self.texts)
    @rule(data=st.data(), is_kept=st.booleans(), closes=st.booleans())
    def ends(self, data: st.DataObject, is_kept: bool, closes: bool) -> None:
        slot, _ = self.texts.pop(data.draw(st.integers(0, len(self.texts) - 1)))
        (self.slots.leave if is_kept else self.slots.drop)(slot)
        while closes and (moved := self.slots.close_ranks()) is not None:
            self.texts = [(moved[1] if slot is moved[0] else slot, text) for slot, text in self.texts]

    @invariant()
    def slots_say_what_is_there(self) -> None:
        for slot in self.slots._slots:
            assert slot.tokens.tolist() == self.memory.of[slot.id].tolist()

    @invariant()
    def texts_have_their_own_beginnings(self) -> None:
        for slot, text in self.texts:
            assert slot.is_busy
            assert slot.tokens.tolist() == text[: slot.num_tokens].tolist()

    @invariant()
    def no_more_is_kept_than_may_be(self) -> None:
        assert self.kept.num_bytes <= BYTES_PER_TOKEN * 400

    @invariant()
    def what_is_held_is_known(self) -> None:
        assert self.slots.num_busy == len(self.texts)
        assert (self.slots.num_astray, self.slots.num_excess_bytes) == (0, 0)


TestAgainstTheSequences = AgainstTheSequences.TestCase
