"""Whose turn it is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serve_app.admission.line import Line
from serve_app.messages import Priority

INTERACTIVE, BATCH = Priority.INTERACTIVE, Priority.BATCH


def line_of(*priorities: Priority) -> Line[int]:
    line: Line[int] = Line()
    for number, priority in enumerate(priorities):
        line.append(number, priority)
    return line


def popped(line: Line[int], *, newest_first: bool = False) -> list[int]:
    found = []
    while (who := line.pop_next(newest_first=newest_first)) is not None:
        found.append(who)
    return found


def test_interactive_first_and_first_come_first_served_within_each() -> None:
    assert popped(line_of(BATCH, INTERACTIVE, BATCH, INTERACTIVE)) == [1, 3, 0, 2]


def test_newest_first_holds_for_interactive_requests_only() -> None:
    line = line_of(BATCH, INTERACTIVE, BATCH, INTERACTIVE)
    assert line.pop_oldest_interactive() == 1
    assert popped(line, newest_first=True) == [3, 0, 2]
    assert line.pop_oldest_interactive() is None
    assert popped(line_of(INTERACTIVE, INTERACTIVE, INTERACTIVE), newest_first=True) == [2, 1, 0]


def test_batch_has_one_of_ten_slots_while_both_wait_and_interactive_all_others() -> None:
    order = popped(line_of(*[BATCH] * 5, *[INTERACTIVE] * 50))
    batch_at = [at for at, who in enumerate(order) if who < 5]
    assert batch_at == [9, 19, 29, 39, 49]


def test_what_batch_had_while_nobody_else_waited_counts() -> None:
    line = line_of(*[BATCH] * 3)
    assert [line.pop_next(), line.pop_next()] == [0, 1]
    for number in range(100, 140):
        line.append(number, INTERACTIVE)
    assert popped(line).index(2) == 27  # 18 for the two that it had, 9 for its own turn


def test_what_batch_had_long_ago_does_not_count_for_ever() -> None:
    line = line_of(*[BATCH] * 1000)
    for _ in range(999):
        line.pop_next()
    for number in range(2000, 3000):
        line.append(number, INTERACTIVE)
    assert popped(line).index(999) == 99


def test_batch_is_served_at_once_when_nobody_else_waits() -> None:
    assert popped(line_of(BATCH, BATCH)) == [0, 1]


def test_whoever_leaves_costs_the_others_nothing() -> None:
    line = line_of(INTERACTIVE, INTERACTIVE, INTERACTIVE, BATCH)
    line.remove(1, INTERACTIVE)
    line.remove(3, BATCH)
    assert len(line) == 2
    assert popped(line) == [0, 2]


def test_the_youngest_batch_request_gives_up_its_place() -> None:
    line = line_of(BATCH, INTERACTIVE, BATCH, INTERACTIVE)
    assert line.pop_youngest_batch() == 2
    assert line.pop_youngest_batch() == 0
    assert line.pop_youngest_batch() is None
    assert line.num(INTERACTIVE) == 2


def test_heads_are_the_oldest_of_each() -> None:
    assert line_of(BATCH, INTERACTIVE, BATCH, INTERACTIVE).heads() == (1, 0)
    assert line_of(BATCH, BATCH).heads() == (0,)
    assert line_of().heads() == ()


@given(
    before=st.lists(st.sampled_from([INTERACTIVE, BATCH]), max_size=60),
    num_popped=st.integers(0, 60),
    newcomer=st.sampled_from([INTERACTIVE, BATCH]),
    newest_first=st.booleans(),
)
def test_turns_are_counted_exactly(
    before: list[Priority], num_popped: int, newcomer: Priority, *, newest_first: bool
) -> None:
    line = line_of(*before)
    for _ in range(num_popped):
        line.pop_next()
    num_turns = line.num_turns(newcomer, newest_first=newest_first)
    line.append(-1, newcomer)
    assert popped(line, newest_first=newest_first).index(-1) + 1 == num_turns
