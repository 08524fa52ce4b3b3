from __future__ import annotations

import contextlib
import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.retrieval.sources import sitemap
from serve_app.retrieval.sources.sitemap import Entry, NotASitemap, Sitemap, parse

URLSET = b"""<?xml version="1.0" encoding="UTF-8"?>
<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:image="http://www.google.com/schemas/sitemap-image/1.1">
  <url><loc> https://example.org/a?x=1&amp;y=2 </loc><lastmod>2026-01-02</lastmod>
    <image:image><image:loc>https://example.org/a.png</image:loc></image:image></url>
  <url><loc>https://example.org/b</loc></url><url></url>
</urlset>"""


def test_pages_with_their_dates() -> None:
    entries = (Entry("https://example.org/a?x=1&y=2", "2026-01-02"), Entry("https://example.org/b"))
    assert parse(URLSET) == Sitemap(is_index=False, entries=entries)
    assert parse(gzip.compress(URLSET)) == Sitemap(is_index=False, entries=entries)


def test_an_index_of_sitemaps() -> None:
    found = parse(b"<sitemapindex><sitemap><loc>https://example.org/1.xml</loc></sitemap></sitemapindex>")
    assert found == Sitemap(is_index=True, entries=(Entry("https://example.org/1.xml"),))


def test_a_text_file_of_addresses() -> None:
    assert parse(b"\xef\xbb\xbfhttps://example.org/a\r\n\r\nhttps://example.org/b\n").entries == (
        Entry("https://example.org/a"),
        Entry("https://example.org/b"),
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"<urlset><url><loc>https://example.org/a</loc></url>", "no XML: no element found"),
        (b"<html><body/></html>", "its root is <html>"),
        (b'<!DOCTYPE urlset [<!ENTITY a "b">]><urlset/>', "document type"),
        (b"not found", "neither XML nor a list of URLs"),
        (gzip.compress(URLSET)[:-20], "breaks off"),
        (b"\x1f\x8bnonsense", "broken gzip"),
        (b"<urlset><url><loc>" + b"https://example.org/" + b"a" * 3000 + b"</loc></url></urlset>", "2,048"),
    ],
)
def test_what_is_no_whole_sitemap_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(NotASitemap, match=reason):
        parse(data)


def test_a_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sitemap, "MAX_BYTES", 10_000)
    with pytest.raises(NotASitemap, match="unpacks to more than 10,000 bytes"):
        parse(gzip.compress(b"<urlset>" + b" " * 1_000_000 + b"</urlset>"))


@given(st.binary(max_size=200) | st.tuples(st.integers(0, len(URLSET)), st.binary(max_size=9)))
def test_any_bytes_are_a_sitemap_or_refused(data: bytes | tuple[int, bytes]) -> None:
    if isinstance(data, tuple):
        at, put_in = data
        data = URLSET[:at] + put_in + URLSET[at + len(put_in) :]
    with contextlib.suppress(NotASitemap):
        parse(data)
