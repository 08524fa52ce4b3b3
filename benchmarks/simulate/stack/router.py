"""One caller's router: which replica a request goes to, as a Serve handle decides it.

Power of two choices (Mitzenmacher 2001): of two random replicas the one that the caller believes to have
fewer requests. It believes what it last heard and counts its own. When both are full the attempt is
repeated after growing pauses, by at most two attempts per replica at a time, and whoever finds a place
gives it to the request that has waited longest. Beyond `max_queued_requests` waiting ones a request is
refused at once. These are the rules and constants of ray.serve 2.60's request router, but for what a
caller counts, which is as in serve_app.request_router: a request counts from the moment that its replica is
chosen.

Not modelled: preferring replicas of the same zone, and the time that asking a full replica takes.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable

from benchmarks.records import Outcome
from benchmarks.simulate.stack.events import Events
from benchmarks.simulate.stack.replica import Replica, Request

INITIAL_BACKOFF_S = 0.025
MAX_BACKOFF_S = 0.5
MAX_DOUBLINGS = 10  # the pause has reached its maximum long before
MAX_ATTEMPTS_AT_ONCE = 50


class Attempt:
    """One search for a free replica, on behalf of one request."""

    __slots__ = ("is_over", "num_pauses", "request")

    def __init__(self, request: Request) -> None:
        self.request = request
        self.num_pauses = -1  # the first failure is followed by a second try without a pause
        self.is_over = False


class Router:
    """The queue and the routing of one caller.

    Args:
        on_end: is called once with every request that ended, with its outcome set.
    """

    def __init__(
        self,
        events: Events,
        rng: random.Random,
        *,
        max_ongoing_requests: int,
        max_queued_requests: int,
        on_end: Callable[[Request], None],
    ) -> None:
        self.num_queued = 0
        self.sent: dict[Replica, int] = {}  # replica -> this caller's requests on it
        self.on_no_replica: Callable[[], None] = lambda: None  # when a request waits and no replica runs
        self._events = events
        self._rng = rng
        self._max_ongoing = max_ongoing_requests
        self._max_queued = max_queued_requests
        self._on_end = on_end
        self._replicas: list[Replica] = []
        self._believed: dict[Replica, int] = {}  # replica -> requests on it, as far as this caller knows
        self._unserved: deque[Request] = deque()  # oldest first; those that ended are skipped
        self._unsearched: deque[Request] = deque()  # nobody searches a place for them yet
        self._attempts: dict[Request, Attempt] = {}

    def set_replicas(self, replicas: list[Replica]) -> None:
        """The replicas that take requests from now on."""
        self._replicas = list(replicas)
        self._believed = {replica: self._believed.get(replica, replica.num_ongoing) for replica in replicas}
        kept = {replica: count for replica, count in self.sent.items() if count}
        self.sent = kept | {replica: self.sent.get(replica, 0) for replica in replicas}
        self._start_attempts()

    def assign(self, request: Request) -> None:
        """Take a request: queue it, or refuse it."""
        if self.num_queued >= self._max_queued:
            request.outcome = Outcome.REFUSED
            request.ended_s = self._events.now_s
            self._on_end(request)
            return
        self.num_queued += 1
        request.is_queued = True
        self._unserved.append(request)
        self._unsearched.append(request)
        if not self._replicas:
            self.on_no_replica()
        self._start_attempts()

    def withdraw(self, request: Request) -> None:
        """Its user left: take it out of the queue or off its replica. Its outcome is set already."""
        replica = request.replica
        if replica is not None:
            replica.drop(request)
            self._release(replica)
        elif request.is_queued:
            self.num_queued -= 1
            request.is_queued = False
            self._cancel_attempt(request)

    def _start_attempts(self) -> None:
        limit = min(MAX_ATTEMPTS_AT_ONCE, 2 * len(self._replicas))
        while len(self._attempts) < limit:
            request = self._next_unsearched()
            if request is None:
                return
            attempt = self._attempts[request] = Attempt(request)
            self._search(attempt)

    def _next_unsearched(self) -> Request | None:
        while self._unsearched:
            request = self._unsearched.popleft()
            if request.outcome is None and request.replica is None:
                return request
        return None

    def _search(self, attempt: Attempt) -> None:
        while True:
            replica = self._choose()
            if replica is not None:
                self._serve_oldest(replica)
            if attempt.is_over:
                return
            attempt.num_pauses += 1
            if attempt.num_pauses > 0:
                # Who waits for long pauses more often than a float has powers of two.
                doublings = min(attempt.num_pauses - 1, MAX_DOUBLINGS)
                pause_s = min(MAX_BACKOFF_S, INITIAL_BACKOFF_S * 2**doublings)
                self._events.at(self._events.now_s + pause_s, self._search_again, attempt)
                return

    def _search_again(self, attempt: Attempt) -> None:
        if not attempt.is_over:
            self._search(attempt)
            self._start_attempts()

    def _choose(self) -> Replica | None:
        """The better one of two, None if both are full."""
        replicas = self._replicas
        num = len(replicas)
        if num > 2:
            first = self._rng.randrange(num)
            second = self._rng.randrange(num - 1)
            two = (replicas[first], replicas[second + (second >= first)])
        elif num == 2 and self._rng.getrandbits(1):
            two = (replicas[1], replicas[0])
        else:
            two = tuple(replicas)  # type: ignore[assignment]  # none, one or two
        best, fewest = None, self._max_ongoing
        for replica in two:
            believed = self._believed[replica]
            if believed < fewest:
                best, fewest = replica, believed
        if best is not None:
            return best
        # Nobody seems to be free: both are asked, and this is the only time that a replica is.
        for replica in two:
            self._believed[replica] = replica.num_ongoing
            if replica.num_ongoing < fewest:
                best, fewest = replica, replica.num_ongoing
        return best

    def _serve_oldest(self, replica: Replica) -> None:
        while self._unserved:
            request = self._unserved.popleft()
            if request.outcome is None:
                self._cancel_attempt(request)
                self._send(request, replica)
                return

    def _send(self, request: Request, replica: Replica) -> None:
        """A replica rejects what comes when other callers were faster; then it is first in the queue again."""
        if replica.num_ongoing >= self._max_ongoing:
            self._believed[replica] = replica.num_ongoing
            self._unserved.appendleft(request)
            self._unsearched.appendleft(request)
            return
        self.num_queued -= 1
        request.is_queued = False
        self.sent[replica] = self.sent.get(replica, 0) + 1
        request.on_end = self._end
        replica.accept(request)
        self._believed[replica] = replica.num_ongoing

    def _end(self, request: Request) -> None:
        assert request.replica is not None
        request.outcome = Outcome.OK
        request.ended_s = self._events.now_s
        self._release(request.replica)
        self._on_end(request)

    def _release(self, replica: Replica) -> None:
        self.sent[replica] -= 1
        if replica in self._believed:
            self._believed[replica] = max(0, self._believed[replica] - 1)

    def _cancel_attempt(self, request: Request) -> None:
        attempt = self._attempts.pop(request, None)
        if attempt is not None:
            attempt.is_over = True
