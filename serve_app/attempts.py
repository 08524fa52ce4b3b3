"""Asking again when a replica was lost: only where nothing is done twice that shows, and within a budget.

A call is made again when its replica went away or had no place for it. A stream too, as long as nothing
of it was passed on; later only if its answer can be continued (`openai_api.continuation`).
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TypeVar

from serve_app.admission.retries import RetryBudget
from serve_app.errors import Overloaded, StreamLost
from serve_app.openai_api.continuation import SentAnswer

logger = logging.getLogger("manta.calls")

T = TypeVar("T")

# First tries and all others of one request: an update or an outage takes replicas one after the other.
MAX_ATTEMPTS = 3

_WORTH_ANOTHER = (StreamLost, Overloaded)


def for_losses() -> RetryBudget:
    """A lost replica takes all of its streams at once, however few requests there were lately, and they are
    no new load: each had its place on the replica that is gone. So this one only stops a crash that follows
    its requests around."""
    return RetryBudget(ratio=1.0, min_retries_per_s=10.0)


class Attempts:
    """Calls of one deployment, made again where that helps.

    Args:
        name: of the deployment, for the log.
        refusals: the budget for asking another replica when one is full.
        losses: the budget for asking again when a replica was lost.
    """

    def __init__(
        self, name: str, refusals: RetryBudget | None = None, losses: RetryBudget | None = None
    ) -> None:
        self._name = name
        self._refusals = refusals or RetryBudget()
        self._losses = losses or for_losses()

    async def result(self, ask: Callable[[], Awaitable[T]]) -> T:
        """The result of `ask`, which must be safe to repeat. Raises what its last attempt raises."""
        self._refusals.request()
        self._losses.request()
        attempt = 1
        while True:
            try:
                return await ask()
            except _WORTH_ANOTHER as exc:
                self._require_another(attempt, exc)
            attempt += 1

    async def stream(
        self, ask: Callable[[], AsyncGenerator[bytes]], *, may_continue: bool = False
    ) -> AsyncGenerator[bytes]:
        """The bytes of `ask()`'s stream. Raises what its last attempt raises.

        Args:
            may_continue: the stream is OpenAI's server-sent events, and made again it has the same text.
        """
        self._refusals.request()
        self._losses.request()
        attempt = 1
        sent = SentAnswer()
        while True:
            is_begun = bool(sent)
            frames = ask()
            try:
                async with aclosing(frames), aclosing(sent.rest_of(frames) if is_begun else frames) as rest:
                    async for frame in rest:
                        if may_continue:
                            sent.keep(frame)
                        is_begun = True
                        yield frame
            except _WORTH_ANOTHER as exc:
                if is_begun and not may_continue:
                    raise
                self._require_another(attempt, exc)
            else:
                return
            attempt += 1

    def _require_another(self, attempt: int, exc: StreamLost | Overloaded) -> None:
        """Return if there may be another attempt, else raise the error."""
        # Of replicas that are full, two tell enough: there is no sense in asking round.
        most, budget = (2, self._refusals) if isinstance(exc, Overloaded) else (MAX_ATTEMPTS, self._losses)
        if attempt >= most or not budget.try_retry():
            raise exc
        logger.info("%s is asked again: %s", self._name, exc.message)
