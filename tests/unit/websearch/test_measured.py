from __future__ import annotations

import asyncio
from typing import Any

import pytest

from serve_app.errors import BadRequest, Overloaded
from serve_app.messages import Deadline, RequestContext
from serve_app.websearch.base import WebQuery, WebResult
from serve_app.websearch.measured import MeasuredWeb

CONTEXT = RequestContext("r", "acme", Deadline.after(86_400))
PAGE = WebResult("https://a.example/", "A", "Text.")


class Web:
    def __init__(self, outcome: Any) -> None:
        self.outcome = outcome
        self.is_closed = False

    async def search(self, query: WebQuery, context: RequestContext) -> Any:
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome

    async def close(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize(
    ("result", "outcome"),
    [
        ((PAGE,), "found"),
        ((), "nothing"),
        (Overloaded("full"), "overloaded"),
        (BadRequest("bad"), "invalid_request_error"),
        (asyncio.CancelledError(), "cancelled"),
        (ZeroDivisionError(), "failed"),
    ],
)
async def test_each_search_is_timed_by_what_became_of_it(result: Any, outcome: str) -> None:
    seen: list[tuple[str, float]] = []
    times = iter((10.0, 12.5))
    inner = Web(result)
    web = MeasuredWeb(inner, lambda *one: seen.append(one), lambda: next(times))
    if isinstance(result, BaseException):
        with pytest.raises(type(result)):
            await web.search(WebQuery("a"), CONTEXT)
    else:
        assert await web.search(WebQuery("a"), CONTEXT) == result
    assert seen == [(outcome, 2.5)]
    await web.close()
    assert inner.is_closed
