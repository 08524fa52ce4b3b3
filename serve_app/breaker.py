"""Stops asking a server that does not answer, and tries it again after a while. Knows nothing of requests."""

from __future__ import annotations

from collections.abc import Callable

from serve_app.errors import Unavailable


class Breaker:
    """Counts faults in a row; from `max_failures` on nothing passes for `pause_s`, then one request at a time.

    Args:
        name: of the server, for the message.
        max_failures: faults in a row after which it is open.
        pause_s: seconds until one request may try.
        now_s: a monotonic clock.
    """

    def __init__(self, name: str, max_failures: int, pause_s: float, now_s: Callable[[], float]) -> None:
        self._name = name
        self._max_failures = max_failures
        self._pause_s = pause_s
        self._now_s = now_s
        self._num_failures = 0
        self._closed_again_s = 0.0  # when the next request may try

    def check(self) -> None:
        """Return if a request may be made; the one that tries is accounted for.

        Raises:
            Unavailable: not now.
        """
        if self._num_failures < self._max_failures:
            return
        wait_s = self._closed_again_s - self._now_s()
        if wait_s > 0:
            raise Unavailable(
                f"{self._name} did not answer {self._num_failures} times; it is asked again in {wait_s:.1f} s",
                retry_after_s=wait_s,
            )
        self._closed_again_s = self._now_s() + self._pause_s  # who comes after this one waits for its result

    def succeeded(self) -> None:
        self._num_failures = 0

    def failed(self) -> None:
        self._num_failures += 1
        self._closed_again_s = self._now_s() + self._pause_s
