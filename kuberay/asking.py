"""Requests with patience: what helps to try again is tried again, for a while; every other refusal is an error.

Tried again: 429, as late as Retry-After says; 503 and 504; a webhook that is not up yet; a connection that broke
(everything sent here may arrive twice, unless the caller says that it may not).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from kuberay.connection import Answer, Body, Lost, Query, Transport
from kuberay.errors import ClusterError, Unreachable
from kuberay.objects import at
from kuberay.refusals import is_passing, raised_by

FIRST_PAUSE_S = 0.25
MAX_PAUSE_S = 8.0


class Asker:
    """Asks one API server. `patience_s`: how long one request is tried again."""

    def __init__(
        self,
        transport: Transport,
        patience_s: float,
        now_s: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._transport = transport
        self._patience_s = patience_s
        self._now_s = now_s
        self._sleep = sleep

    def ask(
        self,
        method: str,
        path: str,
        doing: str,
        *,
        query: Query = (),
        body: Body = None,
        content_type: str = "application/json",
        may_repeat: bool = True,
        passes: Callable[[Answer], bool] = is_passing,
    ) -> Answer:
        """An answer below 300, as long as patience lasts; `doing` is what a refusal says of it.

        `passes`: whether a refusal is one that may be none a little later.

        Raises:
            Refused: the server said no, and means it.
            Ending: the namespace is being deleted.
            Unreachable: the connection broke, again and again.
        """
        give_up_s = self._now_s() + self._patience_s
        for pause_s in pauses():
            try:
                answer = self._transport.send(method, path, query=query, body=body, content_type=content_type)
                if answer.code < 300:
                    return answer
                fault: ClusterError = raised_by(answer, doing)
                is_worth_it = passes(answer)
                wait_s = max(pause_s, _retry_after_s(answer))
            except Lost as exc:
                fault = Unreachable(
                    f"cannot {doing}: lost the API server at {self._transport.address}: {exc}"
                )
                is_worth_it, wait_s = may_repeat or not exc.was_sent, pause_s
            if not is_worth_it or self._now_s() + wait_s > give_up_s:
                raise fault
            self._sleep(wait_s)
        raise AssertionError("pauses do not end")


def pauses() -> Iterator[float]:
    """Seconds between tries, without end: twice as long each time, up to MAX_PAUSE_S."""
    pause_s = FIRST_PAUSE_S
    while True:
        yield pause_s
        pause_s = min(2 * pause_s, MAX_PAUSE_S)


def _retry_after_s(answer: Answer) -> float:
    told = answer.headers.get("retry-after") or at(answer.document, "details", "retryAfterSeconds") or 0
    try:
        return max(0.0, float(told))
    except ValueError:
        return 0.0
