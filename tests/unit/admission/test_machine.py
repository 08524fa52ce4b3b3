"""Whatever callers do, no slot is lost, none is given twice, and none is idle while somebody waits."""

from __future__ import annotations

import asyncio

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from serve_app.admission.admission import Admission
from serve_app.admission.base import QueueLimits
from serve_app.errors import MantaError
from serve_app.messages import Deadline, Priority, RequestContext

SLOTS, PLACES, MAX_WAIT_S = 3, 5, 20.0


class Callers(RuleBasedStateMachine):
    """Callers who come, work, end, leave and run out of time, in any order."""

    loop_type: type[asyncio.AbstractEventLoop]

    def __init__(self) -> None:
        super().__init__()
        self.loop = self.loop_type()
        self.admission = Admission("model", QueueLimits(SLOTS, PLACES, MAX_WAIT_S), self.loop.time)
        self.tasks: list[asyncio.Task[None]] = []
        self.working: dict[asyncio.Task[None], asyncio.Event] = {}
        self.num_came = self.num_began = self.num_refused = 0
        self.is_closed = False

    async def caller(self, context: RequestContext) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.num_came += 1
        try:
            async with self.admission.slot(context):
                self.num_began += 1
                self.working[task] = asyncio.Event()
                try:
                    await self.working[task].wait()
                finally:
                    del self.working[task]
        except MantaError:
            self.num_refused += 1

    def run(self, seconds: float = 0.0) -> None:
        async def settle() -> None:
            await asyncio.sleep(seconds)
            for _ in range(4):
                await asyncio.sleep(0)

        self.loop.run_until_complete(settle())
        for task in self.tasks:
            if task.done() and not task.cancelled():
                task.result()
        self.tasks = [task for task in self.tasks if not task.done()]

    def come(self, priority: Priority, left_s: float) -> None:
        deadline = Deadline(self.loop.time() + left_s)
        context = RequestContext("test", "default", deadline, priority)
        self.tasks.append(self.loop.create_task(self.caller(context)))

    @rule(
        priorities=st.lists(st.sampled_from(Priority), min_size=1, max_size=6),
        left_s=st.sampled_from([0.0, 1.0, 30.0, 600.0]),
    )
    def some_come(self, priorities: list[Priority], left_s: float) -> None:
        for priority in priorities:
            self.come(priority, left_s)
        self.run()

    @rule(seconds=st.sampled_from([0.0, 3.0]))
    def a_crowd_comes(self, seconds: float) -> None:
        """And stays for long enough to be an overload, or not."""
        for _ in range(SLOTS + PLACES):
            self.come(Priority.INTERACTIVE, 600.0)
        self.run(seconds)

    @precondition(lambda self: self.working)
    @rule(which=st.integers(0, SLOTS - 1), leaver=st.none() | st.integers(0, 20), comes=st.booleans())
    def one_ends(self, which: int, leaver: int | None, *, comes: bool) -> None:
        """At the same moment another one may leave, before or after it was handed the slot, or come."""
        events = list(self.working.values())
        events[which % len(events)].set()
        if leaver is not None:
            self.loop.run_until_complete(asyncio.sleep(0))
            self.tasks[leaver % len(self.tasks)].cancel()
        if comes:
            self.come(Priority.INTERACTIVE, 60.0)
        self.run()

    @precondition(lambda self: self.tasks)
    @rule(which=st.lists(st.integers(0, 20), min_size=1, max_size=4))
    def some_leave(self, which: list[int]) -> None:
        for number in which:
            self.tasks[number % len(self.tasks)].cancel()
        self.run()

    @initialize(num=st.sampled_from([0, 20]))
    def some_were_served(self, num: int) -> None:
        """So that it knows how fast it is, or not."""
        for _ in range(num):
            self.come(Priority.INTERACTIVE, 60.0)
            self.run(0.2)
            next(iter(self.working.values())).set()
            self.run()

    @rule(seconds=st.sampled_from([0.01, 0.5, 1.5, 5.0, MAX_WAIT_S, 100.0]))
    def time_passes(self, seconds: float) -> None:
        self.run(seconds)

    @precondition(lambda self: self.num_came > 30)
    @rule()
    def it_closes(self) -> None:
        self.admission.close()
        self.is_closed = True
        self.run()

    @invariant()
    def slots_are_those_of_the_callers_that_work(self) -> None:
        state = self.admission.state()
        assert state.num_running == len(self.working) <= SLOTS
        num_queued = sum(state.num_queued.values())
        assert num_queued == len(self.tasks) - len(self.working) <= PLACES
        if state.num_running < SLOTS or self.is_closed:
            assert num_queued == 0
        assert (state.oldest_queued_s is None) == (num_queued == 0)
        if state.oldest_queued_s is not None:
            assert state.oldest_queued_s < MAX_WAIT_S + 0.001

    @invariant()
    def everybody_is_counted_once(self) -> None:
        state = self.admission.state()
        assert sum(state.num_refused.values()) == self.num_refused
        told = self.num_refused + state.num_cancelled + sum(state.num_queued.values())
        assert self.num_came - told <= state.num_admitted
        assert self.num_began <= state.num_admitted

    def teardown(self) -> None:
        for task in self.tasks:
            task.cancel()
        self.run()
        assert not self.tasks
        assert self.admission.state().num_running == 0
        self.run(1000.0)  # timers that were left would strike now
        self.loop.close()


def test_no_slot_is_lost_or_given_twice(virtual_loop: type[asyncio.AbstractEventLoop]) -> None:
    Callers.loop_type = virtual_loop
    run_state_machine_as_test(
        Callers, settings=settings(max_examples=60, stateful_step_count=40, deadline=None)
    )
