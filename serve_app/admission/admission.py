"""The queue in front of one replica's engine: who gets a slot, who waits, who is refused at once.

A request that finds a free slot takes it. Else it waits in `line`'s order, unless it would wait in vain: longer
than is allowed, until after its own deadline, or with every place taken. `slots` measures how fast the queue drains,
which tells all of this, and when to come again. In an overload (`overload`) few may wait, and the newest of them is
served first.

A slot that comes free is handed to the next in line and to nobody else: no newcomer gets in between, and no
other waiter wakes. Whoever waits has one timer, whoever does not wait has none.

Knows nothing of Ray, HTTP or engines.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType

from serve_app.admission.base import QueueLimits, QueueState, Refusal
from serve_app.admission.line import NOBODY, Line
from serve_app.admission.overload import OverloadWatch
from serve_app.admission.shares import Shares, Turn
from serve_app.admission.slots import Slots
from serve_app.errors import DeadlineExceeded, MantaError, Overloaded, Unavailable
from serve_app.messages import Priority, RequestContext

# Bounds of Retry-After. Below a second HTTP has no word for it; and after a minute nobody knows how it will be.
MIN_RETRY_AFTER_S, MAX_RETRY_AFTER_S = 1.0, 60.0


class Admission:
    """One replica's queue. All calls are made on one event loop.

    Args:
        name: what errors call it: the model's name.
        clock: seconds, the one that deadlines are on; never goes back.
    """

    def __init__(self, name: str, limits: QueueLimits, clock: Callable[[], float] = time.monotonic) -> None:
        now = clock()
        self._name = name
        self._stage = f"queue of {name}"
        self._limits = limits
        self._clock = clock
        self._slots = Slots(limits.num_slots, now)
        self._shares = Shares()
        self._line: Line[_Waiter] = Line(self._shares)
        self._overload = OverloadWatch(limits.num_slots, limits.max_queued, limits.max_wait_s, now)
        self._num_refused: Counter[Refusal] = Counter()
        self._num_cancelled = 0
        self._is_closed = False

    @property
    def has_free_slot(self) -> bool:
        """Whether the next to come need not wait."""
        return self._slots.has_free()

    def slot(self, context: RequestContext, num_tokens: int = 0) -> AbstractAsyncContextManager[None]:
        """`async with`: waits for a slot and holds it.

        Args:
            num_tokens: of the prompt, where they are known, for `state`.

        Raises:
            Overloaded: it would wait too long, has waited too long, or gave its place to an interactive
                request; `retry_after_s` is when those who wait now will have begun, from 1 to 60 s.
            DeadlineExceeded: its deadline passed; the stage is "queue of NAME". Nothing was done for it.
            Unavailable: the queue is closed.
        """
        return _Slot(self, context, num_tokens)

    async def acquire(self, context: RequestContext, num_tokens: int = 0) -> Turn | None:
        """Wait for a slot. Raises as `slot`; whoever gets one owes one `release` with what is returned here."""
        now = self._clock()
        if context.deadline.at_monotonic_s <= now:
            raise self._late()
        if self._is_closed:
            raise self._closed()
        # While somebody waits no slot is free.
        if self._slots.has_free():
            self._slots.take(now)
            if context.weight is None:
                return None
            self._shares.come(context.tenant, context.weight, is_new=True)
            return self._shares.begin(context.tenant, now)
        self._refuse_if_in_vain(context, now)
        return await self._wait(context, num_tokens, now)

    def release(self, turn: Turn | None = None) -> None:
        """Give a slot back, or to whoever is next."""
        now = self._clock()
        if turn is not None:
            self._shares.end(turn, now)
        newest_first = self._overload.is_overload
        while (waiter := self._line.pop_next(newest_first=newest_first)) is not None:
            waiter.is_in_line = False
            if waiter.told.done():
                continue  # its caller left in this turn of the loop
            if waiter.expires_s <= now:
                waiter.told.set_result(self._expired(waiter, now))
                continue
            self._slots.pass_on(now)
            if waiter.tenant:
                waiter.turn = self._shares.begin(waiter.tenant, now)
            waiter.told.set_result(None)
            self._look(now)
            return
        self._slots.give_back(now)
        self._look(now)

    def close(self) -> None:
        """Refuse everybody who waits or comes from now on; those that have slots keep them."""
        self._is_closed = True
        while (waiter := self._line.pop_next()) is not None:
            waiter.is_in_line = False
            if not waiter.told.done():
                waiter.told.set_result(self._closed())
        self._look(self._clock())

    def state(self) -> QueueState:
        now = self._clock()
        self._look(now)
        rate_rps = self._slots.drain_rate_rps(now)
        heads = self._line.heads()
        return QueueState(
            num_slots=self._limits.num_slots,
            num_running=self._slots.num_running,
            max_queued=self._limits.max_queued,
            num_queued={priority: self._line.num(priority) for priority in Priority},
            num_queued_tokens=sum(waiter.num_tokens for waiter in self._line),
            oldest_queued_s=now - min(waiter.queued_s for waiter in heads) if heads else None,
            drain_rate_rps=rate_rps,
            is_overload=self._overload.is_overload,
            num_admitted=self._slots.num_begun,
            num_refused=dict(self._num_refused),
            num_cancelled=self._num_cancelled,
        )

    # ---------------------------------------------------------------- before the queue

    def _refuse_if_in_vain(self, context: RequestContext, now: float) -> None:
        """Raise if there is no place, or no slot in time; else there is a place for it."""
        priority = context.priority
        rate_rps = self._slots.drain_rate_rps(now)
        self._look(now)
        if rate_rps is not None:
            wait_s = self._num_turns(context) / rate_rps
            left_s = context.deadline.at_monotonic_s - now
            if wait_s > left_s:
                why = f"would begin in about {wait_s:.1f} s, and the request has {left_s:.1f} s left"
                raise self._overloaded(Refusal.NO_TIME, priority, now, why)
            if wait_s > self._limits.max_wait_s:
                raise self._overloaded(Refusal.WAIT, priority, now, f"would begin in about {wait_s:.1f} s")
        if priority is Priority.INTERACTIVE:
            self._make_room(context, now)
        if len(self._line) >= self._limits.max_queued:
            raise self._overloaded(Refusal.FULL, priority, now, "has no free place in its queue")

    def _make_room(self, context: RequestContext, now: float) -> None:
        """For an interactive request: older ones go in an overload, and a batch request when all is full.

        Where tenants have shares, those go whose tenant has had most; if that is the newcomer's, it goes itself.
        """
        newcomer = _tenant(context)
        if self._overload.is_overload:
            num_kept = self._overload.num_kept(self._slots.drain_rate_rps(now))
            while self._line.num(Priority.INTERACTIVE) >= num_kept:
                oldest = self._line.pop_oldest_interactive(newcomer)
                if oldest is None:
                    why = "is overloaded, and this tenant has had its share"
                    raise self._overloaded(Refusal.PUSHED_OUT, context.priority, now, why)
                self._push_out(
                    oldest, Refusal.PUSHED_OUT, now, "is overloaded and serves newer requests first"
                )
        if len(self._line) >= self._limits.max_queued:
            youngest = self._line.pop_youngest_batch()
            self._push_out(
                youngest, Refusal.DISPLACED, now, "gave this batch request's place to an interactive one"
            )
        if newcomer and len(self._line) >= self._limits.max_queued:
            richer = self._line.pop_of_richer(newcomer)
            self._push_out(richer, Refusal.DISPLACED, now, "gave this place to a tenant that has had less")

    def _push_out(self, waiter: _Waiter | None, reason: Refusal, now: float, why: str) -> None:
        if waiter is not None:
            waiter.is_in_line = False
            if not waiter.told.done():
                waiter.told.set_result(self._overloaded(reason, waiter.priority, now, why))

    def _num_turns(self, context: RequestContext) -> int:
        newest_first = self._overload.is_overload
        return self._line.num_turns(context.priority, newest_first=newest_first, tenant=_tenant(context))

    def _look(self, now: float) -> None:
        line, user = self._line, Priority.INTERACTIVE
        self._overload.look(now, line.num(user), line.num_turns(user), self._slots.drain_rate_rps(now))

    # ---------------------------------------------------------------- in the queue

    async def _wait(self, context: RequestContext, num_tokens: int, now: float) -> Turn | None:
        loop = asyncio.get_running_loop()
        waiter = _Waiter(context, num_tokens, now, self._limits.max_wait_s, loop.create_future())
        timer = loop.call_later(waiter.expires_s - now, self._expire, waiter)
        self._line.append(waiter, waiter.priority, waiter.tenant, context.weight or 1.0)
        self._look(now)
        is_told = False
        try:
            error = await waiter.told
            is_told = True
        finally:
            timer.cancel()
            if not is_told:
                self._leave(waiter)
        if error is not None:
            try:
                raise error
            finally:
                del error, waiter  # its traceback has this frame, and this frame would have it
        if waiter.deadline_s <= self._clock():  # the loop was busy for longer than it had
            self.release(waiter.turn)
            raise self._late()
        return waiter.turn

    def _expire(self, waiter: _Waiter) -> None:
        if waiter.is_in_line and not waiter.told.done():
            now = self._clock()
            self._remove(waiter, now)
            waiter.told.set_result(self._expired(waiter, now))

    def _leave(self, waiter: _Waiter) -> None:
        """Its caller is gone. It may have been given a slot that it never came to know of."""
        self._num_cancelled += 1
        if waiter.is_in_line:
            self._remove(waiter, self._clock())
        elif not waiter.told.cancelled() and waiter.told.result() is None:
            self.release(waiter.turn)

    def _remove(self, waiter: _Waiter, now: float) -> None:
        waiter.is_in_line = False
        self._line.remove(waiter, waiter.priority, waiter.tenant)
        self._look(now)

    # ---------------------------------------------------------------- what is said

    def _expired(self, waiter: _Waiter, now: float) -> MantaError:
        # Not by the clock: an event loop's timer may strike a millisecond early.
        if waiter.deadline_s <= waiter.expires_s:
            return self._late()
        why = f"had no free slot for {self._limits.max_wait_s:g} s"
        return self._overloaded(Refusal.AGED, waiter.priority, now, why)

    def _late(self) -> DeadlineExceeded:
        self._num_refused[Refusal.DEADLINE] += 1
        return DeadlineExceeded(f"the request's time was over at: {self._stage}", self._stage)

    def _closed(self) -> Unavailable:
        self._num_refused[Refusal.CLOSED] += 1
        return Unavailable(f"this replica of {self._name} is stopping", MIN_RETRY_AFTER_S)

    def _overloaded(self, reason: Refusal, priority: Priority, now: float, why: str) -> Overloaded:
        self._num_refused[reason] += 1
        return Overloaded(f"{self._name} {why}", self._retry_after_s(priority, now))

    def _retry_after_s(self, priority: Priority, now: float) -> float:
        """When those who wait now will have begun, and in an overload not before it can be over."""
        rate_rps = self._slots.best_drain_rate_rps(now)
        if rate_rps is None:
            return MIN_RETRY_AFTER_S
        wait_s = max(self._line.num_turns(priority) / rate_rps, self._overload.soonest_end_s(rate_rps))
        return min(MAX_RETRY_AFTER_S, max(MIN_RETRY_AFTER_S, wait_s))


class _Waiter:
    """A request in the queue. `told` is given None with a slot, or the error to raise."""

    __slots__ = (
        "deadline_s",
        "expires_s",
        "is_in_line",
        "num_tokens",
        "priority",
        "queued_s",
        "tenant",
        "told",
        "turn",
    )

    def __init__(
        self,
        context: RequestContext,
        num_tokens: int,
        now: float,
        max_wait_s: float,
        told: asyncio.Future[MantaError | None],
    ) -> None:
        self.priority = context.priority
        self.tenant = _tenant(context)
        self.turn: Turn | None = None  # with its slot, where tenants have shares
        self.num_tokens = num_tokens
        self.queued_s = now
        self.deadline_s = context.deadline.at_monotonic_s
        self.expires_s = min(now + max_wait_s, self.deadline_s)
        self.is_in_line = True
        self.told = told


class _Slot:
    """`async with` over acquire and release; a class, because a generator costs as much again."""

    __slots__ = ("_admission", "_context", "_num_tokens", "_turn")

    def __init__(self, admission: Admission, context: RequestContext, num_tokens: int) -> None:
        self._admission = admission
        self._context = context
        self._num_tokens = num_tokens
        self._turn: Turn | None = None

    async def __aenter__(self) -> None:
        self._turn = await self._admission.acquire(self._context, self._num_tokens)

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._admission.release(self._turn)


def _tenant(context: RequestContext) -> str:
    return NOBODY if context.weight is None else context.tenant
