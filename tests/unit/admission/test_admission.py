"""Who gets a slot, who waits, who is refused, and what they are told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from serve_app.admission.admission import MAX_RETRY_AFTER_S, MIN_RETRY_AFTER_S, Admission
from serve_app.admission.base import QueueLimits, Refusal
from serve_app.errors import DeadlineExceeded, MantaError, Overloaded, Unavailable
from serve_app.messages import Priority, RequestContext

INTERACTIVE, BATCH = Priority.INTERACTIVE, Priority.BATCH
Make = Callable[..., RequestContext]


def admission_of(num_slots: int = 1, max_queued: int = 100, max_wait_s: float = 3600.0) -> Admission:
    clock = asyncio.get_running_loop().time
    return Admission("model", QueueLimits(num_slots, max_queued, max_wait_s), clock)


class Users:
    """Requests that hold a slot for a while, and what became of them."""

    def __init__(self, admission: Admission) -> None:
        self.admission = admission
        self.began: list[str] = []
        self.errors: dict[str, MantaError] = {}
        self.ended_s: dict[str, float] = {}

    def send(self, name: str, context: RequestContext, hold_s: float = 1.0) -> asyncio.Task[None]:
        return asyncio.create_task(self._ask(name, context, hold_s))

    async def _ask(self, name: str, context: RequestContext, hold_s: float) -> None:
        clock = asyncio.get_running_loop().time
        try:
            async with self.admission.slot(context, num_tokens=7):
                self.began.append(name)
                await asyncio.sleep(hold_s)
        except MantaError as exc:
            self.errors[name] = exc
        finally:
            self.ended_s[name] = clock()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def teach(admission: Admission, make_context: Make, hold_s: float) -> None:
    """Let it see how long requests take, one after the other."""
    for _ in range(8):
        async with admission.slot(make_context()):
            await asyncio.sleep(hold_s)


# ---------------------------------------------------------------- slots and order


async def test_a_free_slot_is_taken_at_once_and_given_back(make_context: Make) -> None:
    admission = admission_of(num_slots=2)
    async with admission.slot(make_context()), admission.slot(make_context()):
        assert admission.state().num_running == 2
    state = admission.state()
    assert (state.num_running, state.num_admitted, state.num_refused) == (0, 2, {})
    assert state.oldest_queued_s is None


async def test_a_slot_comes_back_when_the_work_fails(make_context: Make) -> None:
    admission = admission_of()
    with pytest.raises(RuntimeError):
        async with admission.slot(make_context()):
            raise RuntimeError
    assert admission.state().num_running == 0


async def test_those_who_wait_are_served_in_order_interactive_first(make_context: Make) -> None:
    users = Users(admission_of())
    for name, priority in (
        ("0", INTERACTIVE),
        ("b1", BATCH),
        ("i1", INTERACTIVE),
        ("b2", BATCH),
        ("i2", INTERACTIVE),
    ):
        users.send(name, make_context(priority=priority))
        await asyncio.sleep(0.01)
    await asyncio.sleep(10.0)
    assert users.began == ["0", "i1", "i2", "b1", "b2"]


async def test_no_newcomer_gets_in_front_of_whoever_was_handed_the_slot(make_context: Make) -> None:
    admission = admission_of()
    users = Users(admission)
    await admission.acquire(make_context())
    users.send("waits", make_context())
    await settle()
    admission.release()
    # In the same turn of the loop, before the waiter runs.
    users.send("newcomer", make_context())
    await settle()
    assert users.began == ["waits"]
    assert admission.state().num_queued == {INTERACTIVE: 1, BATCH: 0}
    await asyncio.sleep(10.0)


async def test_batch_goes_on_beside_endless_interactive_requests(make_context: Make) -> None:
    users = Users(admission_of())
    for n in range(5):
        users.send(f"b{n}", make_context(priority=BATCH))
    for n in range(60):
        users.send(f"i{n}", make_context())
    await asyncio.sleep(55.0)
    assert sum(name.startswith("b") for name in users.began) == 5
    await asyncio.sleep(55.0)


# ---------------------------------------------------------------- full


async def test_a_full_queue_refuses_with_the_time_that_it_needs_to_drain(make_context: Make) -> None:
    admission = admission_of(num_slots=2, max_queued=6)
    await teach(admission, make_context, hold_s=4.0)  # so half a request a second
    users = Users(admission)
    for n in range(8):
        users.send(str(n), make_context(), hold_s=4.0)
    await settle()
    with pytest.raises(Overloaded, match="model has no free place") as caught:
        await admission.acquire(make_context())
    assert caught.value.retry_after_s == pytest.approx(7 / 0.5)
    assert admission.state().num_refused == {Refusal.FULL: 1}
    await asyncio.sleep(60.0)
    assert len(users.began) == 8


async def test_retry_after_is_a_second_at_least_and_a_minute_at_most(make_context: Make) -> None:
    quick, slow = admission_of(max_queued=1), admission_of(max_queued=1)
    await teach(quick, make_context, hold_s=0.001)
    await teach(slow, make_context, hold_s=300.0)
    for admission, expected_s in ((quick, MIN_RETRY_AFTER_S), (slow, MAX_RETRY_AFTER_S)):
        users = Users(admission)
        users.send("runs", make_context(), 300.0)
        users.send("waits", make_context(), 300.0)
        await settle()
        with pytest.raises(Overloaded) as caught:
            await admission.acquire(make_context())
        assert caught.value.retry_after_s == expected_s
    await asyncio.sleep(700.0)


async def test_before_anything_has_drained_retry_after_grows_with_the_time_it_takes(
    make_context: Make,
) -> None:
    admission = admission_of(num_slots=1, max_queued=1)
    users = Users(admission)
    users.send("runs", make_context(), 100.0)
    users.send("waits", make_context(), 1.0)
    told = []
    for _ in range(3):
        await asyncio.sleep(10.0)
        with pytest.raises(Overloaded) as caught:
            await admission.acquire(make_context())
        told.append(caught.value.retry_after_s)
    assert told == pytest.approx([20.0, 40.0, 60.0])
    await asyncio.sleep(100.0)


async def test_no_places_at_all(make_context: Make) -> None:
    admission = admission_of(num_slots=1, max_queued=0)
    await admission.acquire(make_context())
    with pytest.raises(Overloaded) as caught:
        await admission.acquire(make_context())
    assert caught.value.retry_after_s == MIN_RETRY_AFTER_S


async def test_an_interactive_request_takes_the_place_of_the_youngest_batch_request(
    make_context: Make,
) -> None:
    admission = admission_of(num_slots=1, max_queued=2)
    users = Users(admission)
    for name, priority in (("0", INTERACTIVE), ("old", BATCH), ("young", BATCH), ("i", INTERACTIVE)):
        users.send(name, make_context(priority=priority))
        await settle()
    assert list(users.errors) == ["young"]
    assert isinstance(users.errors["young"], Overloaded)
    assert admission.state().num_refused == {Refusal.DISPLACED: 1}
    with pytest.raises(Overloaded, match="no free place"):  # batch takes nobody's
        await admission.acquire(make_context(priority=BATCH))
    await asyncio.sleep(10.0)
    assert users.began == ["0", "i", "old"]


# ---------------------------------------------------------------- waits that would be in vain


async def test_who_would_wait_beyond_the_deadline_is_refused_at_once(make_context: Make) -> None:
    admission = admission_of(num_slots=1)
    await teach(admission, make_context, hold_s=5.0)
    users = Users(admission)
    users.send("runs", make_context(), 5.0)
    users.send("waits", make_context(), 5.0)
    await settle()
    with pytest.raises(Overloaded, match=r"in about 10\.0 s, and the request has 9\.0 s left") as caught:
        await admission.acquire(make_context(left_s=9.0))
    assert caught.value.retry_after_s == pytest.approx(10.0)
    assert admission.state().num_refused == {Refusal.NO_TIME: 1}
    await asyncio.sleep(20.0)


async def test_who_would_wait_longer_than_anybody_may_is_refused_at_once(make_context: Make) -> None:
    admission = admission_of(num_slots=1, max_wait_s=12.0)
    await teach(admission, make_context, hold_s=5.0)
    users = Users(admission)
    for n in range(4):
        users.send(str(n), make_context(), 5.0)
    await settle()
    assert list(users.errors) == ["3"]
    assert "in about 15.0 s" in users.errors["3"].message
    assert admission.state().num_refused == {Refusal.WAIT: 1}
    await asyncio.sleep(60.0)


async def test_in_an_overload_few_wait_and_the_newest_is_served_first(make_context: Make) -> None:
    admission = admission_of(num_slots=4, max_queued=26)
    await teach(admission, make_context, hold_s=2.0)
    users = Users(admission)
    for n in range(30):
        users.send(f"burst {n}", make_context(), 2.0)
    await settle()
    assert not users.errors  # a burst may wait
    await asyncio.sleep(2.1)
    for n in range(30, 34):
        users.send(f"burst {n}", make_context(), 2.0)
    await asyncio.sleep(1.4)
    assert users.began == [f"burst {n}" for n in range(8)]
    users.send("new", make_context(), 2.0)
    users.send("batch", make_context(priority=BATCH), 2.0)
    users.send("newest", make_context(), 2.0)
    await settle()
    assert admission.state().is_overload
    assert admission.state().num_queued == {INTERACTIVE: 3, BATCH: 1}
    assert admission.state().num_refused == {Refusal.PUSHED_OUT: 25}
    told = [error for error in users.errors.values() if isinstance(error, Overloaded)]
    assert len(told) == 25
    # Not before the overload can be over, which takes what an answer takes. And not all at the same moment.
    assert all(1.9 <= error.retry_after_s <= 28 / 1.5 for error in told)
    assert len({error.retry_after_s for error in told}) > 10
    await asyncio.sleep(1.0)
    assert users.began[8:] == ["newest", "new", "burst 33", "batch"]
    await asyncio.sleep(20.0)
    assert not admission.state().is_overload


async def test_callers_who_wait_for_their_answer_before_they_ask_again_are_all_served(
    make_context: Make,
) -> None:
    """Their queue stands, but within the allowed wait."""
    admission = admission_of(num_slots=4, max_queued=100, max_wait_s=12.0)
    await teach(admission, make_context, hold_s=2.0)
    users = Users(admission)

    async def ask(name: str) -> None:
        for n in range(20):
            await users.send(f"{name}.{n}", make_context(), 2.0)

    await asyncio.gather(*(ask(str(n)) for n in range(20)))
    assert not users.errors
    assert len(users.began) == 400


async def test_nobody_is_refused_by_a_guess_before_the_rate_is_known(make_context: Make) -> None:
    admission = admission_of(num_slots=1, max_wait_s=1000.0)
    users = Users(admission)
    for n in range(20):
        users.send(str(n), make_context(left_s=900.0), 5.0)
    await asyncio.sleep(200.0)
    assert len(users.began) == 20


# ---------------------------------------------------------------- age


async def test_whoever_has_waited_too_long_is_told_to_come_again(make_context: Make) -> None:
    admission = admission_of(num_slots=1, max_wait_s=3.0)
    users = Users(admission)
    users.send("runs", make_context(), 100.0)
    await asyncio.sleep(1.0)
    begin_s = asyncio.get_running_loop().time()
    users.send("waits", make_context())
    await asyncio.sleep(10.0)
    assert users.ended_s["waits"] - begin_s == pytest.approx(3.0)
    error = users.errors["waits"]
    assert isinstance(error, Overloaded)
    assert "no free slot for 3 s" in error.message
    assert admission.state().num_refused == {Refusal.AGED: 1}
    await asyncio.sleep(100.0)


async def test_a_deadline_in_the_queue_is_told_at_its_time_with_the_stage(make_context: Make) -> None:
    admission = admission_of(num_slots=1)
    users = Users(admission)
    users.send("runs", make_context(), 10.0)
    begin_s = asyncio.get_running_loop().time()
    users.send("waits", make_context(left_s=2.0))
    users.send("behind", make_context())
    await asyncio.sleep(20.0)
    assert users.ended_s["waits"] - begin_s == pytest.approx(2.0)
    error = users.errors["waits"]
    assert isinstance(error, DeadlineExceeded)
    assert error.stage == "queue of model"
    assert users.began == ["runs", "behind"]
    assert admission.state().num_refused == {Refusal.DEADLINE: 1}


async def test_nothing_is_done_for_a_request_that_comes_too_late(make_context: Make) -> None:
    admission = admission_of()
    with pytest.raises(DeadlineExceeded):
        await admission.acquire(make_context(left_s=0.0))
    assert admission.state().num_admitted == 0


async def test_a_slot_is_not_handed_to_one_whose_time_is_over(
    make_context: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop that was busy runs the release before the timers that were due."""
    loop = asyncio.get_running_loop()
    now_s = [loop.time()]
    admission = Admission("model", QueueLimits(1, 10, 60.0), lambda: now_s[0])
    users = Users(admission)
    await admission.acquire(make_context())
    users.send("late", make_context(left_s=5.0))
    users.send("next", make_context(left_s=50.0))
    await settle()
    now_s[0] += 10.0
    admission.release()
    await settle()
    assert users.began == ["next"]
    assert isinstance(users.errors["late"], DeadlineExceeded)
    await asyncio.sleep(5.0)


async def test_a_slot_that_is_handed_over_too_late_goes_on_to_the_next(make_context: Make) -> None:
    now_s = [asyncio.get_running_loop().time()]
    admission = Admission("model", QueueLimits(1, 10, 60.0), lambda: now_s[0])
    users = Users(admission)
    await admission.acquire(make_context())
    users.send("late", make_context(left_s=5.0))
    users.send("next", make_context(left_s=50.0))
    await settle()
    admission.release()  # in time
    now_s[0] += 10.0  # but the loop was busy before the waiter ran
    await settle()
    assert users.began == ["next"]
    assert isinstance(users.errors["late"], DeadlineExceeded)
    await asyncio.sleep(5.0)


# ---------------------------------------------------------------- callers that leave


async def test_a_waiter_that_leaves_frees_its_place_at_once(make_context: Make) -> None:
    admission = admission_of(num_slots=1, max_queued=1)
    users = Users(admission)
    users.send("runs", make_context())
    leaver = users.send("leaver", make_context())
    await settle()
    leaver.cancel()
    await settle()
    users.send("next", make_context())
    await asyncio.sleep(5.0)
    assert users.began == ["runs", "next"]
    state = admission.state()
    assert (state.num_cancelled, state.num_running, state.num_refused) == (1, 0, {})


@pytest.mark.parametrize("cancel_first", [True, False])
async def test_a_slot_handed_to_one_who_leaves_in_the_same_moment_is_not_lost(
    make_context: Make, *, cancel_first: bool
) -> None:
    admission = admission_of()
    users = Users(admission)
    await admission.acquire(make_context())
    leaver = users.send("leaver", make_context())
    users.send("next", make_context())
    await settle()
    if cancel_first:
        leaver.cancel()
        admission.release()
    else:
        admission.release()
        leaver.cancel()
    await asyncio.sleep(5.0)
    assert leaver.cancelled()
    assert users.began == ["next"]
    assert admission.state().num_running == 0
    assert admission.state().num_cancelled == 1


async def test_one_who_leaves_at_the_moment_of_its_deadline_is_told_nothing(make_context: Make) -> None:
    loop = asyncio.get_running_loop()
    faults: list[object] = []
    loop.set_exception_handler(lambda _, fault: faults.append(fault))
    admission = admission_of()
    users = Users(admission)
    await admission.acquire(make_context())
    leaver = users.send("leaver", make_context(left_s=2.0))
    loop.call_at(loop.time() + 2.0, leaver.cancel)  # strikes first
    await asyncio.sleep(5.0)
    assert leaver.cancelled()
    assert not users.errors
    assert not faults
    assert admission.state().num_cancelled == 1


async def test_no_timer_is_left_behind(make_context: Make) -> None:
    loop = asyncio.get_running_loop()
    users = Users(admission_of())
    for n in range(5):
        users.send(str(n), make_context())
    await asyncio.sleep(10.0)
    assert len(users.began) == 5
    timers = loop._scheduled  # type: ignore[attr-defined]
    assert [timer for timer in timers if not timer.cancelled()] == []


async def test_an_error_for_one_who_leaves_in_the_same_moment_is_not_missed(make_context: Make) -> None:
    """Its future must not complain that nobody looked at it, and no slot may be given back for it."""
    admission = admission_of()
    users = Users(admission)
    await admission.acquire(make_context())
    leaver = users.send("leaver", make_context())
    await settle()
    admission.close()
    leaver.cancel()
    await settle()
    assert leaver.cancelled()
    assert admission.state().num_running == 1


# ---------------------------------------------------------------- the end, and what is told


async def test_a_closed_queue_refuses_everybody_and_lets_those_with_slots_end(make_context: Make) -> None:
    admission = admission_of()
    users = Users(admission)
    users.send("runs", make_context())
    users.send("waits", make_context())
    await settle()
    admission.close()
    users.send("comes", make_context())
    await settle()
    assert {name: type(error) for name, error in users.errors.items()} == {
        "waits": Unavailable,
        "comes": Unavailable,
    }
    await asyncio.sleep(5.0)
    assert users.began == ["runs"]
    assert admission.state().num_running == 0
    assert admission.state().num_refused == {Refusal.CLOSED: 2}


async def test_the_state_tells_what_an_autoscaler_needs(make_context: Make) -> None:
    admission = admission_of(num_slots=2, max_queued=10)
    await teach(admission, make_context, hold_s=4.0)
    users = Users(admission)
    for n in range(2):
        users.send(str(n), make_context(), 4.0)
    users.send("batch", make_context(priority=BATCH), 4.0)
    await asyncio.sleep(1.0)
    users.send("interactive", make_context(), 4.0)
    await asyncio.sleep(1.5)
    state = admission.state()
    assert (state.num_slots, state.num_running, state.max_queued) == (2, 2, 10)
    assert state.num_queued == {INTERACTIVE: 1, BATCH: 1}
    assert state.num_queued_tokens == 14
    assert state.oldest_queued_s == pytest.approx(2.5)
    assert state.drain_rate_rps == pytest.approx(0.5, rel=0.2)
    assert not state.is_overload
    await asyncio.sleep(60.0)


@pytest.mark.parametrize(("slots", "queued", "wait_s"), [(0, 1, 1.0), (1, -1, 1.0), (1, 1, 0.0)])
def test_limits_that_make_no_sense_are_refused(slots: int, queued: int, wait_s: float) -> None:
    with pytest.raises(ValueError, match="needs a slot"):
        QueueLimits(slots, queued, wait_s)
