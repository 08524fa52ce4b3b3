"""A request, and a replica: an engine that batches continuously, advanced from change to change of its batch.

A step takes `step_ms`, something for each running sequence and something for each token of a prompt that
it reads; prompts are read in chunks, oldest first, in what the running sequences leave of the step's
tokens; all tokens of a step come at its end. That is the iteration-level scheduling of Orca (OSDI 2022)
with the chunked prefill of Sarathi-Serve (OSDI 2024), as vLLM does both. While no prompt is read all
steps are equally long, so one event stands for all of them until a sequence ends or joins.

Knows nothing of routing.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections import deque
from collections.abc import Callable

from benchmarks.records import Outcome
from benchmarks.simulate.stack.events import Events
from configs.simulation import ServiceModel


class Request:
    """One request on its way. Times are seconds of the simulation; None until they happened."""

    __slots__ = (
        "accepted_s",
        "arrived_s",
        "end_step",
        "ended_s",
        "first_s",
        "first_step",
        "index",
        "is_queued",
        "last_s",
        "num_made",
        "num_output",
        "num_prompt",
        "num_unread",
        "on_end",
        "outcome",
        "replica",
        "token_times_s",
    )

    def __init__(self, index: int, arrived_s: float, num_prompt: int, num_output: int) -> None:
        self.index = index
        self.arrived_s = arrived_s  # at the client
        self.accepted_s: float | None = None  # by its replica
        self.num_prompt = num_prompt
        self.num_output = num_output
        self.num_unread = num_prompt  # of the prompt, by the engine
        self.is_queued = False  # by its caller
        self.num_made = 0  # tokens, known once it has ended
        self.replica: Replica | None = None
        self.first_s: float | None = None
        self.last_s: float | None = None
        self.first_step = 0  # of its replica's steps, the one that made its first token
        self.end_step = 0  # the one that makes its last token
        self.ended_s: float | None = None
        self.outcome: Outcome | None = None
        self.on_end: Callable[[Request], None] | None = None  # the caller's, once a replica has it
        self.token_times_s: list[float] = []  # of each token, when they are kept


class Replica:
    """A replica that takes requests. `num_ongoing` counts those accepted and not ended."""

    __slots__ = (
        "_base_s",
        "_deadline",
        "_events",
        "_max_batched",
        "_max_running",
        "_num_joined",
        "_num_running",
        "_per_running_s",
        "_per_token_s",
        "_plan_id",
        "_planned_step",
        "_reading",
        "_running",
        "_span_from_step",
        "_span_start_s",
        "_span_step_s",
        "_spans",
        "_step",
        "_waiting",
        "name",
        "num_ongoing",
    )

    def __init__(self, name: str, events: Events, service: ServiceModel, *, keep_token_times: bool) -> None:
        self.name = name
        self.num_ongoing = 0
        self._events = events
        self._base_s = service.step_ms / 1e3
        self._per_running_s = service.step_us_per_running / 1e6
        self._per_token_s = service.prefill_us_per_token / 1e6
        self._max_batched = service.max_batched_tokens
        self._max_running = service.max_running
        self._waiting: deque[Request] = deque()  # for a place in the batch
        self._reading: deque[Request] = deque()  # whose prompts are being read, oldest first
        self._running: list[tuple[int, int, Request]] = []  # heap of (end_step, order, request)
        self._num_running = 0  # those on the heap that have not left
        self._num_joined = 0
        self._step = 0  # steps that ended, ever
        self._plan_id = 0  # of the one event that is planned; others are void
        self._planned_step = 0  # the step that this event ends
        self._span_from_step = 0
        self._span_start_s = 0.0
        self._span_step_s = 0.0  # length of the steps until the planned event; 0: idle
        self._spans: list[tuple[int, float, float]] | None = [] if keep_token_times else None

    def accept(self, request: Request) -> None:
        self.num_ongoing += 1
        request.replica = self
        request.accepted_s = self._events.now_s
        self._waiting.append(request)
        if self._span_step_s == 0.0:
            self._plan()
        elif self._num_running + len(self._reading) < self._max_running:
            self._cut()

    def drop(self, request: Request) -> None:
        """Take out a request that has not ended, wherever it is; its tokens so far are counted."""
        self.num_ongoing -= 1
        if request.first_s is not None:
            num_steps = int((self._events.now_s - self._span_start_s) / self._span_step_s + 1e-9)
            num_steps = min(num_steps, self._planned_step - self._span_from_step - 1)
            request.num_made = self._span_from_step + num_steps - request.first_step + 1
            request.last_s = self._span_start_s + num_steps * self._span_step_s
            self._num_running -= 1
            self._cut()
        elif request in self._reading:
            self._reading.remove(request)
        else:
            self._waiting.remove(request)

    def requests(self) -> list[Request]:
        """Those accepted and not ended."""
        running = [request for _, _, request in self._running if request.outcome is None]
        return [*running, *self._reading, *self._waiting]

    def work(self) -> dict[str, float]:
        """What a replica's `record_autoscaling_stats` says; those whose prompt nobody has begun to read wait."""
        waiting = [request for request in self._reading if request.num_unread == request.num_prompt]
        waiting += self._waiting
        oldest_s = waiting[0].accepted_s if waiting else None
        return {
            "running": float(self.num_ongoing - len(waiting)),
            "queued": float(len(waiting)),
            "queued_tokens": float(sum(request.num_prompt for request in waiting)),
            "oldest_queued_s": 0.0 if oldest_s is None else self._events.now_s - oldest_s,
        }

    def _plan(self) -> None:
        """At the end of a step, or when idle: what the next event is."""
        reading, running = self._reading, self._running
        while self._waiting and self._num_running + len(reading) < self._max_running:
            reading.append(self._waiting.popleft())
        while running and running[0][2].outcome is not None:
            heapq.heappop(running)  # it left
        num_running = self._num_running
        if reading:
            num_read = self._read(self._max_batched - num_running)
            num_steps = 1
            step_s = self._base_s + self._per_running_s * num_running + self._per_token_s * num_read
        elif running:
            num_steps = running[0][0] - self._step
            step_s = self._base_s + self._per_running_s * num_running
        else:
            self._span_step_s = 0.0
            return
        now_s = self._events.now_s
        self._span_from_step = self._step
        self._span_start_s = now_s
        self._span_step_s = step_s
        self._plan_id += 1
        self._planned_step = self._step + num_steps
        if self._spans is not None:
            self._spans.append((self._step, now_s, step_s))
        self._events.at(now_s + num_steps * step_s, self._end_span, self._plan_id)

    def _cut(self) -> None:
        """The batch changes: let the span end with the step that runs."""
        if self._planned_step - self._span_from_step <= 1 or self._span_step_s == 0.0:
            return
        num_steps = int((self._events.now_s - self._span_start_s) / self._span_step_s) + 1
        if self._span_from_step + num_steps >= self._planned_step:
            return
        self._planned_step = self._span_from_step + num_steps
        self._plan_id += 1
        self._events.at(self._span_start_s + num_steps * self._span_step_s, self._end_span, self._plan_id)

    def _read(self, room: int) -> int:
        """Tokens of prompts that the next step reads."""
        left = max(0, room)
        for request in self._reading:
            if request.num_unread <= left:
                left -= request.num_unread
                request.num_unread = 0
            else:
                request.num_unread -= left
                left = 0
                break
        return max(0, room) - left

    def _end_span(self, plan_id: int) -> None:
        if plan_id != self._plan_id:
            return
        self._step = step = self._planned_step
        running = self._running
        ended: list[Request] = []
        while running and running[0][0] <= step:
            request = heapq.heappop(running)[2]
            if request.outcome is None:
                self._num_running -= 1
                ended.append(request)
        reading = self._reading
        while reading and not reading[0].num_unread:
            request = reading.popleft()
            request.first_s = self._events.now_s
            request.first_step = step
            request.end_step = step + request.num_output - 1
            if request.num_output == 1:
                ended.append(request)
            else:
                self._num_joined += 1
                heapq.heappush(running, (request.end_step, self._num_joined, request))
                self._num_running += 1
        for request in ended:
            self._finish(request)
        self._plan()

    def _finish(self, request: Request) -> None:
        self.num_ongoing -= 1
        request.num_made = request.num_output
        request.last_s = self._events.now_s
        if self._spans is not None:
            request.token_times_s = self._token_times_s(request)
        assert request.on_end is not None
        request.on_end(request)

    def _token_times_s(self, request: Request) -> list[float]:
        spans = self._spans
        assert spans is not None
        at = bisect_right(spans, request.first_step - 1, key=lambda span: span[0]) - 1
        times = []
        for step in range(request.first_step, request.end_step + 1):
            while at + 1 < len(spans) and spans[at + 1][0] < step:
                at += 1
            from_step, start_s, step_s = spans[at]
            times.append(start_s + (step - from_step) * step_s)
        return times
