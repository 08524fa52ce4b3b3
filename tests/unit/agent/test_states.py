from __future__ import annotations

import pytest

from serve_app.agent.run import Run
from serve_app.agent.states import MOVES, Loop, State
from serve_app.messages import AgentQuestion, Deadline, RequestContext


def run_of(state: State = State.RECEIVED) -> Run:
    context = RequestContext("r", "acme", Deadline.after(60))
    return Run(AgentQuestion("Why?"), context, state)


def test_every_state_but_the_two_ends_leads_on() -> None:
    assert set(MOVES) == set(State)
    assert {state for state, to in MOVES.items() if not to - {State.CANCELLED}} == {
        State.FINAL,
        State.CANCELLED,
    }


def test_every_state_can_be_reached() -> None:
    reached, todo = {State.RECEIVED}, [State.RECEIVED]
    while todo:
        new = MOVES[todo.pop()] - reached
        reached |= new
        todo += new
    assert reached == set(State)


def test_only_states_that_may_wait_run_out_of_time() -> None:
    without = {state for state, to in MOVES.items() if State.DEADLINE not in to}
    assert without == {State.DEADLINE, State.GUARD_OUT, State.FINAL, State.CANCELLED}


@pytest.mark.parametrize(("start", "to"), [("received", "final"), ("final", "route"), ("generate", "web")])
def test_a_move_that_is_not_drawn_is_an_error(start: str, to: str) -> None:
    with pytest.raises(AssertionError, match="no move leads"):
        run_of(State(start)).move(State(to))


def test_the_trace_tells_the_states_that_were_left() -> None:
    run = run_of()
    run.move(State.GUARD_IN)
    run.move(State.ROUTE)
    assert [step["state"] for step in run.trace] == ["received", "guard_in"]


def test_all_loops_share_one_counter_and_each_is_taken_once() -> None:
    run = run_of()
    assert run.can_loop(Loop.WEB, max_loops=1, min_loop_s=2.0)
    run.loops += (Loop.WEB,)
    assert not run.can_loop(Loop.WEB, max_loops=3, min_loop_s=2.0)
    assert not run.can_loop(Loop.REWRITE, max_loops=1, min_loop_s=2.0)
    assert run.can_loop(Loop.REWRITE, max_loops=2, min_loop_s=2.0)
    assert not run.can_loop(Loop.REWRITE, max_loops=2, min_loop_s=100.0)
