"""Lets each request go at its intended moment, and follows it to its end.

The open loop never looks at what is in flight: a request that is due is sent. A closed loop sends the
next session's request when a place becomes free. Later turns of a session follow their own answers.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable, Sequence

from benchmarks.client.alarm import make_alarm
from benchmarks.client.answers import reader_of
from benchmarks.client.exchange import Exchange
from benchmarks.client.pool import Pool
from benchmarks.client.requests import RequestWriter, next_turn
from benchmarks.client.task import WorkerTask
from benchmarks.records import Outcome
from benchmarks.schedule.planned import Bodies, PlannedRequest

# Requests sent without a look at what has arrived, when the client is late.
MAX_BURST = 32


class Sender:
    """Sends this worker's requests.

    Args:
        requests: the worker's own, in the order of their arrival.
        start_ns: the run's start.
        on_record: called with every exchange that ended.
    """

    def __init__(
        self,
        task: WorkerTask,
        requests: Sequence[PlannedRequest],
        bodies: Bodies,
        pool: Pool,
        start_ns: int,
        on_record: Callable[[Exchange], None],
    ) -> None:
        self._task = task
        self._bodies = bodies
        self._pool = pool
        self._start_ns = start_ns
        self._end_ns = start_ns + round(task.duration_s * 1e9)
        self._on_record = on_record
        self._loop = asyncio.get_running_loop()
        self._writers = [RequestWriter(task, entry) for entry in task.entries]
        self._readers = [reader_of(entry.kind) for entry in task.entries]
        self._first_turns = [request for request in requests if request.turn == 0]
        self._later_turns = {(r.session, r.turn): r for r in requests if r.turn > 0}
        self._next = 0
        # (due, tie-breaker, request, body): turns whose answer before has come
        self._waiting: list[tuple[int, int, PlannedRequest, bytes]] = []
        self._ties = itertools.count()
        self._in_flight: dict[int, Exchange] = {}  # id(exchange) -> exchange
        self._timers: dict[int, list[asyncio.TimerHandle]] = {}  # id(exchange) -> what would end it
        self._is_closed_loop = task.concurrency is not None
        self._alarm = make_alarm(self._loop, self._on_alarm)
        self._is_stopped = False
        self.is_done = asyncio.Event()
        self.num_sent = 0

    @property
    def num_in_flight(self) -> int:
        return len(self._in_flight)

    @property
    def _has_sent_all(self) -> bool:
        """Whether a closed loop that sends every session once has done so."""
        return not self._task.starts_again and self._next >= len(self._first_turns)

    def start(self) -> None:
        if self._is_closed_loop:
            wait_s = max(0.0, (self._start_ns - time.perf_counter_ns()) / 1e9)
            self._loop.call_later(wait_s, self._fill_places)
        else:
            self._set_alarm()

    def stop(self) -> None:
        """Send nothing more, and end what is in flight as interrupted."""
        self._is_stopped = True
        now_ns = time.perf_counter_ns()
        for exchange in list(self._in_flight.values()):
            exchange.end(Outcome.INTERRUPTED, "the run was stopped", now_ns)
        self._alarm.close()
        self.is_done.set()

    # ---------------------------------------------------------------- when

    def _on_alarm(self) -> None:
        if self._is_stopped:
            return
        for _ in range(MAX_BURST):
            if not self._send_one_that_is_due(time.perf_counter_ns()):
                break
        self._set_alarm()
        self._end_if_done()

    def _send_one_that_is_due(self, now_ns: int) -> bool:
        if not self._is_closed_loop and self._next < len(self._first_turns):
            planned = self._first_turns[self._next]
            due_ns = self._due_ns(planned)
            if due_ns <= now_ns:
                self._next += 1
                self._send(planned, self._bodies.of(planned), due_ns)
                return True
        if self._waiting and self._waiting[0][0] <= now_ns:
            due_ns, _, planned, body = heapq.heappop(self._waiting)
            self._send(planned, body, due_ns)
            return True
        return False

    def _set_alarm(self) -> None:
        moments = [self._waiting[0][0]] if self._waiting else []
        if not self._is_closed_loop and self._next < len(self._first_turns):
            moments.append(self._due_ns(self._first_turns[self._next]))
        if moments:
            self._alarm.set(min(moments))

    def _due_ns(self, planned: PlannedRequest) -> int:
        assert planned.at_s is not None
        return self._start_ns + round(planned.at_s * 1e9)

    def _fill_places(self) -> None:
        for _ in range(self._task.concurrency or 0):
            self._send_next_session()

    def _send_next_session(self) -> None:
        """A place of a closed loop is free: the next session, or the first again when all have been."""
        now_ns = time.perf_counter_ns()
        if now_ns < self._end_ns and not self._is_stopped and not self._has_sent_all:
            planned = self._first_turns[self._next % len(self._first_turns)]
            self._next += 1
            self._send(planned, self._bodies.of(planned), now_ns)

    # ---------------------------------------------------------------- sending and ending

    def _send(self, planned: PlannedRequest, body: bytes, due_ns: int) -> None:
        exchange = Exchange(
            planned,
            self._task.entries[planned.entry],
            self._readers[planned.entry],
            self._writers[planned.entry].write(planned.index, body),
            due_ns,
            keep_text=self._task.keep_text or planned.turn + 1 < planned.num_turns,
            on_end=self._on_end,
        )
        key = id(exchange)
        self._in_flight[key] = exchange
        self._timers[key] = [self._end_later(exchange, self._task.timeout_s, Outcome.TIMEOUT)]
        if planned.abandon_after_s is not None:
            self._timers[key].append(self._end_later(exchange, planned.abandon_after_s, Outcome.ABANDONED))
        self.num_sent += 1
        self._pool.send(exchange)

    def _end_later(self, exchange: Exchange, after_s: float, outcome: Outcome) -> asyncio.TimerHandle:
        # Loops count in milliseconds and round; nobody is given up before the time is over.
        left_s = (exchange.intended_ns - time.perf_counter_ns()) / 1e9 + after_s + 0.001
        why = f"no end {after_s:g} s after the intended arrival"
        return self._loop.call_later(
            max(0.0, left_s), lambda: exchange.end(outcome, why, time.perf_counter_ns())
        )

    def _on_end(self, exchange: Exchange) -> None:
        key = id(exchange)
        for timer in self._timers.pop(key):
            timer.cancel()
        self._pool.forget(exchange)
        del self._in_flight[key]
        self._on_record(exchange)
        if self._is_stopped:
            return
        if exchange.outcome is Outcome.OK and exchange.planned.turn + 1 < exchange.planned.num_turns:
            self._plan_next_turn(exchange)
        elif self._is_closed_loop:
            self._loop.call_soon(self._send_next_session)
        self._loop.call_soon(self._end_if_done)

    def _plan_next_turn(self, exchange: Exchange) -> None:
        assert exchange.end_ns is not None
        planned = self._later_turns[exchange.planned.session, exchange.planned.turn + 1]
        due_ns = exchange.end_ns + round(planned.think_s * 1e9)
        if due_ns >= self._end_ns:  # nothing arrives after the run's end
            return
        body = exchange.request.partition(b"\r\n\r\n")[2]
        body = next_turn(body, exchange.text, self._bodies.of(planned))
        heapq.heappush(self._waiting, (due_ns, next(self._ties), planned, body))
        self._set_alarm()

    def _end_if_done(self) -> None:
        if self._in_flight or self._waiting or self._is_stopped:
            return
        if self._is_closed_loop:
            is_all = self._has_sent_all or time.perf_counter_ns() >= self._end_ns
        else:
            is_all = self._next >= len(self._first_turns)
        if is_all:
            self._alarm.close()
            self.is_done.set()
