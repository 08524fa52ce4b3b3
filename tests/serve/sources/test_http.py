"""Pages as a source, against a site on loopback that redirects, changes, hangs and misbehaves."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from configs.schema import HttpSource
from serve_app.retrieval.sources.base import Content, ObjectUnreadable, SourceUnavailable
from serve_app.retrieval.sources.fetch import Fetcher
from serve_app.retrieval.sources.http import HttpPages

Page = tuple[int, dict[str, str], bytes]


@dataclass
class Site:
    """Answers GET from `pages`; writes down who asked for what."""

    pages: dict[str, Page | Callable[[dict[str, str]], Page]] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    hangs: set[str] = field(default_factory=set)
    num_open: int = 0
    most_open: int = 0
    port: int = 0
    open_writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def put(self, path: str, text: str, *, status: int = 200, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.pages[path] = (status, {"content-type": "text/html", **named}, text.encode())

    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open_writers.add(writer)
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                first, *lines = head.strip().split("\r\n")
                path = first.split(" ")[1]
                headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
                self.asked.append((path, headers))
                self.num_open += 1
                self.most_open = max(self.most_open, self.num_open)
                try:
                    await self._answer(path, headers, writer)
                finally:
                    self.num_open -= 1
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open_writers.discard(writer)
            writer.close()

    async def _answer(self, path: str, headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        if path in self.hangs:
            await asyncio.Event().wait()
        found = self.pages.get(path, (404, {}, b"no"))
        status, own, body = found(headers) if callable(found) else found
        if own.get("etag") and headers.get("if-none-match") == own["etag"]:
            status, body = 304, b""
        own = {"content-length": str(len(body)), **own}
        lines = "".join(f"{name}: {value}\r\n" for name, value in own.items())
        writer.write(f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode() + body)
        await writer.drain()
        await asyncio.sleep(0)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made = Site()
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(await asyncio.start_server(made.serve, "127.0.0.1", 0))
        made.port = server.sockets[0].getsockname()[1]
        tasks_before = asyncio.all_tasks()
        yield made
        for writer in list(made.open_writers):
            writer.transport.abort()
        ours = [task for task in asyncio.all_tasks() - tasks_before if task is not asyncio.current_task()]
        for task in ours:
            task.cancel()
        await asyncio.gather(*ours, return_exceptions=True)


def pages(site: Site, **options: Any) -> HttpPages:
    given = {"kind": "http", "name": "site", "allow_private": True, "timeout_s": 60.0} | options
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}
    if "urls" not in given and "sitemaps" not in given:
        given["sitemaps"] = (f"{site.url}/sitemap.xml",)
    return HttpPages(HttpSource.model_validate(given))


def sitemap(*urls: str) -> str:
    return "<urlset>" + "".join(f"<url><loc>{url}</loc></url>" for url in urls) + "</urlset>"


async def listed(source: HttpPages) -> list[str]:
    return [one.path async for one in source.objects()]


async def test_a_sitemap_its_pages_and_what_did_not_change(site: Site) -> None:
    site.put("/sitemap.xml", sitemap(f"{site.url}/a", f"{site.url}/b.md#part", "https://elsewhere.example/c"))
    site.put("/a", "<h1>A</h1><p>text</p>", etag='"one"', last_modified="Tue, 03 Feb 2026 04:05:06 GMT")
    site.put("/b.md", "# B", content_type="text/plain; charset=utf-8")
    source = pages(site)
    found = [one async for one in source.objects()]
    host = f"127.0.0.1:{site.port}"
    assert [(one.path, one.version) for one in found] == [(f"{host}/a", None), (f"{host}/b.md", None)]
    assert source.num_skipped == 1  # of a host that nobody allowed
    first = await source.read(found[0], 1000)
    assert isinstance(first, Content)
    assert (first.version, first.media_type) == ('etag:"one"', "text/html")
    assert first.metadata == {"uri": f"{site.url}/a", "modified_at": "2026-02-03T04:05:06+00:00"}
    assert await source.read(found[0], 1000, known_version=first.version) is None
    site.put("/a", "<h1>A</h1><p>other</p>", etag='"two"')
    changed = await source.read(found[0], 1000, known_version=first.version)
    assert changed is not None
    assert changed.version == 'etag:"two"'
    second = await source.read(found[1], 1000)
    assert second is not None
    assert (second.version, second.media_type) == ("", "text/markdown")
    assert {headers["host"] for _, headers in site.asked} == {host}
    await source.close()


async def test_a_date_is_asked_for_where_there_is_no_etag(site: Site) -> None:
    date = "Tue, 03 Feb 2026 04:05:06 GMT"
    site.pages["/a"] = lambda headers: (
        (304, {}, b"")
        if headers.get("if-modified-since") == date
        else (200, {"content-type": "text/html", "last-modified": date}, b"<p>x</p>")
    )
    source = pages(site, urls=[f"{site.url}/a"])
    (found,) = [one async for one in source.objects()]
    read = await source.read(found, 1000)
    assert read is not None
    assert read.version == f"date:{date}"
    assert await source.read(found, 1000, known_version=read.version) is None
    await source.close()


async def test_an_index_of_sitemaps_some_gzipped(site: Site) -> None:
    site.put("/sitemap.xml", f"<sitemapindex><sitemap><loc>{site.url}/1.xml.gz</loc></sitemap>"
             f"<sitemap><loc>{site.url}/2.xml</loc></sitemap></sitemapindex>")  # fmt: skip
    site.pages["/1.xml.gz"] = (200, {}, gzip.compress(sitemap(f"{site.url}/a").encode()))
    site.put("/2.xml", sitemap(f"{site.url}/b", f"{site.url}/a"))
    source = pages(site)
    host = f"127.0.0.1:{site.port}"
    assert await listed(source) == [f"{host}/a", f"{host}/b"]
    await source.close()


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (503, "", "busy 3 times"),
        (500, "", "answers 500"),
        (404, "", "not there"),
        (200, "<urlset><url>", "no XML"),
    ],
)
async def test_a_sitemap_that_is_not_there_is_no_empty_one(
    site: Site, status: int, body: str, reason: str
) -> None:
    site.put("/sitemap.xml", body, status=status, retry_after="0")
    source = pages(site)
    with pytest.raises(SourceUnavailable, match=f"the source site cannot be listed: .*{reason}"):
        await listed(source)
    await source.close()


async def test_a_sitemap_that_lost_one_of_its_parts_is_no_whole(site: Site) -> None:
    site.put("/sitemap.xml", f"<sitemapindex><sitemap><loc>{site.url}/1.xml</loc></sitemap>"
             f"<sitemap><loc>{site.url}/2.xml</loc></sitemap></sitemapindex>")  # fmt: skip
    site.put("/1.xml", sitemap(f"{site.url}/a"))
    source = pages(site)
    with pytest.raises(SourceUnavailable, match=r"2\.xml: it is not there"):
        await listed(source)
    await source.close()


async def test_robots_are_obeyed(site: Site) -> None:
    site.put("/robots.txt", "User-agent: *\nDisallow: /private\nUser-agent: rude\nDisallow: /\n")
    urls = [f"{site.url}/a", f"{site.url}/private/b"]
    source = pages(site, urls=urls)
    assert await listed(source) == [f"127.0.0.1:{site.port}/a"]
    assert source.num_skipped == 1
    rude = pages(site, urls=urls, user_agent="rude")
    assert await listed(rude) == []
    deaf = pages(site, urls=urls, user_agent="rude", respect_robots=False)
    assert len(await listed(deaf)) == 2
    site.put("/robots.txt", "", status=500)
    with pytest.raises(SourceUnavailable, match="so that nothing may be read"):
        await listed(source)
    for one in (source, rude, deaf):
        await one.close()


async def test_redirects_stay_on_the_list(site: Site) -> None:
    site.put("/here", "", status=302, location="/there")
    site.put("/there", "<p>text</p>")
    site.put("/out", "", status=301, location="http://elsewhere.example/x")
    site.put("/file", "", status=302, location="file:///etc/passwd")
    site.put("/port", "", status=307, location="http://127.0.0.1:1/x")
    site.put("/loop", "", status=302, location="/loop")
    site.put("/nowhere", "", status=302)
    names = ("here", "out", "file", "port", "loop", "nowhere")
    source = pages(site, urls=[f"{site.url}/{name}" for name in names], respect_robots=False)
    here, *others = [one async for one in source.objects()]
    read = await source.read(here, 1000)
    assert read is not None
    assert (read.data, read.metadata["uri"]) == (b"<p>text</p>", f"{site.url}/here")
    reasons = ["elsewhere.example is not on", "only http and https", "127.0.0.1:1 is not on", "more than 5 times",
               "redirects nowhere"]  # fmt: skip
    for one, reason in zip(others, reasons, strict=True):
        with pytest.raises(ObjectUnreadable, match=reason):
            await source.read(one, 1000)
    await source.close()


async def test_addresses_that_are_not_public_are_refused_whatever_they_are_called(site: Site) -> None:
    async def rebinding(host: str, port: int) -> Sequence[str]:
        return {
            "inside.example": ["10.0.0.7"],
            "meta.example": ["169.254.169.254"],
            "both.example": ["93.184.216.34", "::1"],
            "mapped.example": ["::ffff:127.0.0.1"],
            "odd.example": ["fe80::1%eth0"],
            "translated.example": ["64:ff9b::a9fe:a9fe"],
            "wrapped.example": ["2002:a00:7::1"],
        }[host]

    fetcher = Fetcher(
        ["*.example"], allow_private=False, user_agent="test", timeout_s=60.0, resolve=rebinding
    )
    for host in ("inside", "meta", "both", "mapped", "odd", "translated", "wrapped"):
        with pytest.raises(
            ObjectUnreadable, match=rf"{host}\.example has the address .*, which is not public"
        ):
            await fetcher.get(f"http://{host}.example/", 1000)
    await fetcher.close()
    source = pages(site, urls=[f"{site.url}/a"], allow_private=False, respect_robots=False)
    (one,) = [one async for one in source.objects()]
    with pytest.raises(ObjectUnreadable, match=r"127\.0\.0\.1, which is not public"):
        await source.read(one, 1000)
    assert site.asked == []
    await source.close()


async def test_a_name_is_asked_at_the_address_that_was_checked(site: Site) -> None:
    site.put("/a", "<p>text</p>")

    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    allow = [f"docs.example.org:{site.port}"]
    fetcher = Fetcher(allow, allow_private=True, user_agent="test", timeout_s=60.0, resolve=resolve)
    answer = await fetcher.get(f"http://docs.example.org:{site.port}/a", 1000)
    assert answer.data == b"<p>text</p>"
    assert site.asked[0][1]["host"] == f"docs.example.org:{site.port}"
    assert site.asked[0][1]["user-agent"] == "test"
    await fetcher.close()


async def test_the_next_address_is_asked_where_one_does_not_answer(site: Site) -> None:
    site.put("/a", "<p>text</p>")

    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.2", "127.0.0.1"]  # nobody listens at the first one

    allow = [f"docs.example.org:{site.port}"]
    fetcher = Fetcher(allow, allow_private=True, user_agent="test", timeout_s=60.0, resolve=resolve)
    assert (await fetcher.get(f"http://docs.example.org:{site.port}/a", 1000)).status == 200
    await fetcher.close()


async def test_bodies_are_bounded(site: Site) -> None:
    site.put("/announced", "x" * 2000)
    site.pages["/bomb"] = (
        200, {"content-type": "text/html", "content-encoding": "gzip"}, gzip.compress(b"x" * 10_000_000),
    )  # fmt: skip
    site.put("/image", "x", content_type="image/png")
    names = ("announced", "bomb", "image")
    source = pages(site, urls=[f"{site.url}/{name}" for name in names], respect_robots=False)
    announced, bomb, image = [one async for one in source.objects()]
    with pytest.raises(ObjectUnreadable, match="it has 2,000 bytes; the limit is 1,000"):
        await source.read(announced, 1000)
    with pytest.raises(ObjectUnreadable, match="it has more bytes; the limit is 100,000"):
        await source.read(bomb, 100_000)
    with pytest.raises(ObjectUnreadable, match="documents of media type image/png are not read"):
        await source.read(image, 1000)
    await source.close()


async def test_a_site_that_hangs_is_given_up(site: Site) -> None:
    names = [f"/{number}" for number in range(7)]
    site.hangs = set(names)
    source = pages(site, urls=[f"{site.url}{name}" for name in names], respect_robots=False, timeout_s=0.05)
    objects = [one async for one in source.objects()]
    for one in objects[:5]:
        with pytest.raises(ObjectUnreadable, match=r"no answer within 0\.05 s"):
            await source.read(one, 1000)
    with pytest.raises(SourceUnavailable, match="5 pages in a row gave no answer"):
        await source.read(objects[5], 1000)
    assert "/5" not in site.paths()
    await source.close()


async def test_pages_are_asked_for_at_the_pace_that_the_site_wants() -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    async def resolve(host: str, port: int) -> Sequence[str]:
        raise OSError("no such host")

    config = HttpSource(
        kind="http", name="s", urls=("http://a.example/1", "http://a.example/2", "http://b.example/1"),
        min_interval_s=2.0, respect_robots=False,
    )  # fmt: skip
    source = HttpPages(config, resolve=resolve, sleep=sleep, clock_s=lambda: 100.0)
    for one in [one async for one in source.objects()]:
        with pytest.raises(ObjectUnreadable, match="has no address"):
            await source.read(one, 10)
    assert waited == [2.0]
    await source.close()
