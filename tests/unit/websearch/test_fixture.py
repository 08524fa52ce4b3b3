from __future__ import annotations

from serve_app.messages import Deadline, RequestContext
from serve_app.websearch.base import WebQuery, WebResult
from serve_app.websearch.fixture import FixtureWeb

CONTEXT = RequestContext("r", "acme", Deadline.after(86_400))
PAGES = [
    WebResult("https://a.example", "Cats", "Cats purr."),
    WebResult("https://b.example", "Steam engines", "Engines run on steam and coal."),
    WebResult("https://c.example", "Engines", "An engine."),
]


async def test_pages_are_ranked_by_shared_words_and_strangers_are_not_found() -> None:
    found = await FixtureWeb(PAGES).search(WebQuery("steam engine"), CONTEXT)
    assert [page.url for page in found] == ["https://b.example", "https://c.example"]
    assert len(await FixtureWeb(PAGES).search(WebQuery("steam engine", max_results=1), CONTEXT)) == 1
    assert await FixtureWeb(PAGES).search(WebQuery("quantum"), CONTEXT) == ()
