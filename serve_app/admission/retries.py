"""How often callers may try again: a share of what they ask anyway, so that retries never make an overload.

Knows nothing of what is retried or why it failed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable


class RetryBudget:
    """Retries of the last while are at most `ratio` of its requests, plus a few.

    Without a bound, callers that try n times multiply the load of a server that refuses by n, which keeps it
    refusing after the cause has gone. With it a server in trouble sees at most 1 + `ratio` of its load. (As in
    Finagle's RetryBudget; "The Site Reliability Workbook", Google 2018, chapter 17, has 10 %.)

    Requests and retries are both forgotten exponentially, so there is no edge of a window to wait for.

    Args:
        ratio: retries for each request.
        min_retries_per_s: allowed however few requests there are, so that a quiet caller may retry too.
        window_s: time in which a request or retry is forgotten (to 1/e).
        clock: seconds; never goes back.
    """

    def __init__(
        self,
        ratio: float = 0.1,
        min_retries_per_s: float = 0.5,
        window_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if ratio < 0 or min_retries_per_s < 0 or not window_s > 0:
            raise ValueError(f"a retry budget of {ratio}, {min_retries_per_s}/s in {window_s} s")
        self._ratio = ratio
        self._min_retries = min_retries_per_s * window_s
        self._window_s = window_s
        self._clock = clock
        self._num_requests = 0.0
        self._num_retries = 0.0
        self._at_s = clock()
        self.num_denied = 0  # since the start

    def request(self) -> None:
        """A request is made for the first time."""
        self._forget()
        self._num_requests += 1.0

    def try_retry(self) -> bool:
        """Whether a request may be made again now; if so it is counted."""
        self._forget()
        if self._num_retries + 1.0 > self._ratio * self._num_requests + self._min_retries:
            self.num_denied += 1
            return False
        self._num_retries += 1.0
        return True

    def _forget(self) -> None:
        now = self._clock()
        keeps = math.exp((self._at_s - now) / self._window_s)
        self._num_requests *= keeps
        self._num_retries *= keeps
        self._at_s = now
