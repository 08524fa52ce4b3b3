"""Web pages as a source: a list of addresses, or those that sitemaps name.

A page's path is its address without the scheme. Nobody knows a page's version before it is asked for,
so each sync asks for all of them, with the ETag or date of the last time: what has not changed costs an
exchange of headers. Asks politely: robots.txt, few requests at once, the interval that it wants.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import PurePosixPath
from urllib.robotparser import RobotFileParser

import httpx

from configs.schema import HttpSource
from serve_app.errors import BadRequest
from serve_app.retrieval.documents.load import media_type_of, suffix_is_read
from serve_app.retrieval.sources import sitemap
from serve_app.retrieval.sources.base import (
    MODIFIED_AT,
    URI,
    Content,
    ObjectUnreadable,
    SourceObject,
    SourceUnavailable,
    iso_utc,
)
from serve_app.retrieval.sources.fetch import Fetched, Fetcher, NoAnswer, Resolve, Sleep, resolve

_MAX_ROBOTS_BYTES = 512 * 1024  # RFC 9309, 2.5 asks for at least 500 KiB
_MAX_DEPTH = 3  # of indices of sitemaps
_MAX_SITEMAPS = 1000
_MAX_PATH_CHARS = 900
_MAX_INTERVAL_S = 60.0  # of a Crawl-delay
_MAX_FAILURES = 5  # pages in a row without an answer, after which the others are not tried


class HttpPages:
    """Pages by list or sitemap.

    Args:
        config: which, and how.
        chooses: says of a path (`host/path`) whether it is wanted.
        is_whole: whether a page that is not listed is gone.
        resolve: names to addresses.
        sleep, clock_s: the time between two requests.
    """

    def __init__(
        self,
        config: HttpSource,
        chooses: Callable[[str], bool] = lambda path: True,
        *,
        is_whole: bool = True,
        resolve: Resolve = resolve,
        sleep: Sleep = asyncio.sleep,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.is_whole = is_whole
        self._config = config
        self._chooses = chooses
        self._fetcher = Fetcher(
            config.allow or _hosts(config),
            allow_private=config.allow_private,
            user_agent=config.user_agent,
            timeout_s=config.timeout_s,
            resolve=resolve,
            sleep=sleep,
        )
        self._sleep = sleep
        self._clock_s = clock_s
        self._robots: dict[str, RobotFileParser] = {}  # origin -> its rules
        self._next_s: dict[str, float] = {}  # origin -> when it may be asked again
        self._asking = asyncio.Lock()
        self._num_failures = 0
        self.num_skipped = 0

    @property
    def name(self) -> str:
        return self._config.name

    @property
    def max_concurrent_reads(self) -> int:
        return self._config.max_concurrent_reads

    async def objects(self) -> AsyncIterator[SourceObject]:
        self.num_skipped = self._num_failures = 0
        self._robots.clear()
        seen: set[str] = set()
        for entry in [*map(sitemap.Entry, self._config.urls), *[one async for one in self._mapped()]]:
            url = _canonical(entry.url)
            if url in seen:
                continue
            seen.add(url)
            if len(seen) > self._config.max_objects:
                raise self._cannot_list(
                    f"there are more than max_objects ({self._config.max_objects:,}) pages"
                )
            path = path_of(url)
            if not self._fetcher.allows(url) or not self._chooses(path) or not await self._may_read(url):
                self.num_skipped += 1
                continue
            yield SourceObject(path, url, None, metadata={URI: url, **_modified_at(entry)})

    async def read(self, wanted: SourceObject, max_bytes: int, known_version: str = "") -> Content | None:
        if self._num_failures >= _MAX_FAILURES:
            raise SourceUnavailable(f"{self.name}: {_MAX_FAILURES} pages in a row gave no answer")
        await self._turn(wanted.location)
        try:
            answer = await self._fetcher.get(wanted.location, max_bytes, _conditions(known_version))
        except NoAnswer:
            self._num_failures += 1
            raise
        self._num_failures = 0
        if answer.status == 304:
            return None
        media_type = _media_type(wanted.path, answer)
        return Content(answer.data, _version(answer), media_type, _metadata(wanted, answer))

    async def close(self) -> None:
        await self._fetcher.close()

    async def _mapped(self) -> AsyncIterator[sitemap.Entry]:
        """The pages of all sitemaps, and of the sitemaps in them."""
        waiting = [(url, 1) for url in self._config.sitemaps]
        asked: set[str] = set()
        while waiting:
            url, depth = waiting.pop(0)
            if url in asked:
                continue
            asked.add(url)
            if len(asked) > _MAX_SITEMAPS:
                raise self._cannot_list(f"there are more than {_MAX_SITEMAPS:,} sitemaps")
            found = await self._sitemap(url)
            if found.is_index and depth == _MAX_DEPTH:
                raise self._cannot_list(
                    f"{url}: indices of sitemaps are nested deeper than {_MAX_DEPTH} levels"
                )
            if found.is_index:
                waiting += [(entry.url, depth + 1) for entry in found.entries]
                continue
            for entry in found.entries:
                yield entry

    async def _sitemap(self, url: str) -> sitemap.Sitemap:
        try:
            await self._turn(url)
            answer = await self._fetcher.get(url, sitemap.MAX_BYTES)
            return await asyncio.to_thread(sitemap.parse, answer.data)
        except (ObjectUnreadable, sitemap.NotASitemap) as exc:
            raise self._cannot_list(f"the sitemap {url}: {exc}") from exc

    async def _may_read(self, url: str) -> bool:
        if not self._config.respect_robots:
            return True
        return (await self._rules(_origin(url))).can_fetch(self._config.user_agent, url)

    async def _rules(self, origin: str) -> RobotFileParser:
        """The origin's robots.txt, read as RFC 9309 (2.3.1) says: not there means that all may be read,
        and no answer that nothing may."""
        if origin not in self._robots:
            rules = RobotFileParser()
            try:
                answer = await self._fetcher.get(f"{origin}/robots.txt", _MAX_ROBOTS_BYTES)
                rules.parse(answer.data.decode("utf-8", "replace").splitlines())
            except NoAnswer as exc:
                raise self._cannot_list(f"{origin}/robots.txt: {exc}, so that nothing may be read") from exc
            except ObjectUnreadable:
                rules.parse([])
            self._robots[origin] = rules
        return self._robots[origin]

    async def _turn(self, url: str) -> None:
        """Return when the origin may be asked again."""
        origin = _origin(url)
        rules = self._robots.get(origin)
        delay = rules.crawl_delay(self._config.user_agent) if rules else None
        interval_s = max(self._config.min_interval_s, min(float(delay or 0), _MAX_INTERVAL_S))
        if not interval_s:
            return
        async with self._asking:
            now_s = self._clock_s()
            at_s = max(now_s, self._next_s.get(origin, now_s))
            self._next_s[origin] = at_s + interval_s
        if at_s > now_s:
            await self._sleep(at_s - now_s)

    def _cannot_list(self, reason: str) -> SourceUnavailable:
        return SourceUnavailable(f"the source {self.name} cannot be listed: {reason}")


def path_of(url: str) -> str:
    """The address without its scheme; a long one keeps its beginning, and a hash of the whole."""
    path = url.partition("://")[2]
    if len(path) <= _MAX_PATH_CHARS:
        return path
    return f"{path[:_MAX_PATH_CHARS]}~{hashlib.sha256(url.encode()).hexdigest()[:16]}"


def host_of(url: str) -> str:
    """The host, with its port where that is not the scheme's own.

    Raises:
        BadRequest: it is no URL.
    """
    try:
        return httpx.URL(url).netloc.decode("ascii")
    except httpx.InvalidURL as exc:
        raise BadRequest(f"{url!r:.200} is no URL: {exc}") from exc


def _hosts(config: HttpSource) -> list[str]:
    return [host_of(url) for url in (*config.urls, *config.sitemaps)]


def _canonical(url: str) -> str:
    return url.partition("#")[0]


def _origin(url: str) -> str:
    parsed = httpx.URL(url)
    return f"{parsed.scheme}://{parsed.netloc.decode('ascii')}"


def _conditions(known_version: str) -> dict[str, str]:
    kind, _, value = known_version.partition(":")
    name = {"etag": "if-none-match", "date": "if-modified-since"}.get(kind)
    return {name: value} if name and value.isascii() and value.isprintable() else {}


def _version(answer: Fetched) -> str:
    for kind, header in (("etag", "etag"), ("date", "last-modified")):
        value = answer.headers.get(header, "")
        if value and len(value) <= 512 and value.isascii() and value.isprintable():
            return f"{kind}:{value}"
    return ""


def _media_type(path: str, answer: Fetched) -> str | None:
    """What the answer says it is.

    Raises:
        ObjectUnreadable: no loader reads that.
    """
    given = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    # Many servers say text/plain of anything that is text.
    media_type = None if given == "text/plain" and suffix_is_read(path) else given or None
    try:
        return media_type_of(PurePosixPath(path.partition("?")[0]).name, media_type)
    except BadRequest as exc:
        raise ObjectUnreadable(exc.message.partition(": ")[2]) from exc


def _modified_at(entry: sitemap.Entry) -> dict[str, str]:
    try:
        return {MODIFIED_AT: iso_utc(datetime.fromisoformat(entry.modified_at))}
    except (ValueError, OverflowError):
        return {}


def _metadata(wanted: SourceObject, answer: Fetched) -> dict[str, str]:
    try:
        date = iso_utc(parsedate_to_datetime(answer.headers.get("last-modified", "")))
    except (ValueError, OverflowError):
        return dict(wanted.metadata)  # the sitemap's date, if it had one
    return {**wanted.metadata, MODIFIED_AT: date}
