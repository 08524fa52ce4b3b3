"""A web search whose searches are timed, by what became of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from serve_app.errors import MantaError
from serve_app.messages import RequestContext
from serve_app.websearch.base import OpenWebSearch, WebQuery, WebResult


class MeasuredWeb:
    """Tells `observe` of each search: the outcome (`found`, `nothing`, `cancelled`, or an error's code), seconds."""

    def __init__(
        self,
        inner: OpenWebSearch,
        observe: Callable[[str, float], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inner = inner
        self._observe = observe
        self._clock = clock

    async def search(self, query: WebQuery, context: RequestContext) -> tuple[WebResult, ...]:
        began_s = self._clock()
        outcome = "failed"
        try:
            results = await self._inner.search(query, context)
            outcome = "found" if results else "nothing"
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        except MantaError as exc:
            outcome = exc.code or exc.type
            raise
        else:
            return results
        finally:
            self._observe(outcome, self._clock() - began_s)

    async def close(self) -> None:
        await self._inner.close()
