"""A page of the web as a tool: of hosts on a list alone, at public addresses alone, redirects included.

What a server says in a failure is not passed on, and neither is where it redirects to: both are written by others.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import PurePosixPath

import httpx

from configs.schema import FetchTool
from serve_app.agent.pages import MAX_PAGE_CHARS, passage_of
from serve_app.agents.base import ToolOutput, ToolSpec
from serve_app.agents.tools.retrieval_tool import CITE
from serve_app.errors import BadRequest, EngineFailed, Forbidden, Unavailable
from serve_app.messages import DocumentInput, JsonObject, RequestContext
from serve_app.retrieval.documents.base import LoadedDocument
from serve_app.retrieval.documents.load import load, suffix_is_read
from serve_app.retrieval.sources.base import ObjectUnreadable
from serve_app.retrieval.sources.fetch import Fetched, Fetcher, NoAnswer, Resolve, resolve
from serve_app.websearch.base import WebResult

logger = logging.getLogger("manta.agents")

_MAX_URL_CHARS = 2000


class FetchPageTool:
    """A Tool that reads pages. A long page comes in parts, of `max_result_chars` each.

    Args:
        resolve: names to addresses.
    """

    def __init__(self, config: FetchTool, resolve: Resolve = resolve) -> None:
        self._config = config
        self._fetcher = Fetcher(
            config.hosts,
            allow_private=config.allow_private,
            user_agent=config.user_agent,
            timeout_s=config.timeout_s,
            resolve=resolve,
        )
        self._spec = ToolSpec.of(
            config,
            f"{config.description} It reads only {', '.join(config.hosts)}.{CITE}",
            _parameters(),
        )

    @property
    def spec(self) -> ToolSpec:
        return self._spec

    async def call(self, arguments: JsonObject, context: RequestContext) -> ToolOutput:
        url, part = str(arguments["url"]), int(arguments.get("part", 1))
        if not self._fetcher.allows(url):
            raise Forbidden(f"{self._config.name} reads only pages of {', '.join(self._config.hosts)}")
        page = await self._page(url)
        document = await self._document(page)
        size = self._config.max_result_chars
        text = document.text[(part - 1) * size : part * size]
        num_parts = -(-len(document.text) // size)
        if not text:
            raise BadRequest(f"part: the page has {num_parts}", "part")
        title = document.title if num_parts == 1 else f"{document.title} (part {part} of {num_parts})"
        first = (part - 1) * -(-size // MAX_PAGE_CHARS)
        pieces = [text[at : at + MAX_PAGE_CHARS] for at in range(0, len(text), MAX_PAGE_CHARS)]
        found = (passage_of(WebResult(page.url, title, one), first + at) for at, one in enumerate(pieces))
        return ToolOutput(passages=tuple(found))

    async def close(self) -> None:
        await self._fetcher.close()

    async def _page(self, url: str) -> Fetched:
        name = self._config.name
        try:
            return await self._fetcher.get(url, self._config.max_response_bytes)
        except NoAnswer as exc:
            logger.info("%s: %s: %s", name, url, exc)
            raise Unavailable(f"{name}: the page's server gave no answer") from exc
        except ObjectUnreadable as exc:
            logger.info("%s: %s: %s", name, url, exc)
            told = "it is not there, too large, or leads to where nobody may look"
            raise EngineFailed(f"{name}: the page cannot be read: {told}") from exc

    async def _document(self, page: Fetched) -> LoadedDocument:
        path = PurePosixPath(httpx.URL(page.url).path).name or "page"
        given = page.headers.get("content-type", "").partition(";")[0].strip().lower()
        # Many servers say text/plain of anything that is text.
        media_type = None if given == "text/plain" and suffix_is_read(path) else given or None
        try:
            return await asyncio.to_thread(load, DocumentInput(path, page.data, media_type))
        except BadRequest as exc:
            logger.info("%s: %s: %s", self._config.name, page.url, exc)
            raise EngineFailed(f"{self._config.name}: the page holds no text that can be read") from exc


def _parameters() -> JsonObject:
    return {
        "type": "object",
        "properties": {
            "url": {
                "type": "string",
                "pattern": "^https?://",
                "maxLength": _MAX_URL_CHARS,
                "description": "The page's address.",
            },
            "part": {
                "type": "integer",
                "minimum": 1,
                "maximum": 10_000,
                "description": "Of a long page; default 1.",
            },
        },
        "required": ["url"],
        "additionalProperties": False,
    }
