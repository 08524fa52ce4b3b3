"""Sitemaps (https://www.sitemaps.org/protocol.html): the addresses in one, plain or gzipped.

Knows nothing of HTTP. A document type, which is where XML's bombs are, is refused.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from xml.parsers import expat

MAX_BYTES = 50 * 1024 * 1024  # the protocol's own limit of a sitemap, uncompressed
_MAX_URL_CHARS = 2048  # likewise


class NotASitemap(ValueError):
    """It cannot be read to its end; the message says why."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A page, or in an index another sitemap."""

    url: str
    modified_at: str = ""  # as it stands there: a W3C date, or anything


@dataclass(frozen=True, slots=True)
class Sitemap:
    """What was read."""

    is_index: bool
    entries: tuple[Entry, ...]


def parse(data: bytes) -> Sitemap:
    """The sitemap's entries in order. A text file of one URL a line is a sitemap, too.

    Raises:
        NotASitemap: it is broken, cut, of another kind, or too large.
    """
    if data.startswith(b"\x1f\x8b"):
        data = _unzipped(data)
    head = data.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not head.startswith(b"<"):
        return _lines(head)
    reader = _Reader()
    try:
        reader.parser.Parse(data, True)  # noqa: FBT003 (expat takes no names)
    except NotASitemap:
        raise
    except (expat.ExpatError, LookupError, ValueError) as exc:  # of encodings that it does not know, too
        raise NotASitemap(f"it is no XML: {exc}") from exc
    if reader.root not in ("urlset", "sitemapindex"):
        raise NotASitemap(f"it is no sitemap: its root is <{reader.root}>")
    return Sitemap(reader.root == "sitemapindex", tuple(reader.entries))


def _unzipped(data: bytes) -> bytes:
    unzip = zlib.decompressobj(31)
    try:
        whole = unzip.decompress(data, MAX_BYTES)
    except zlib.error as exc:
        raise NotASitemap(f"it is broken gzip: {exc}") from exc
    if unzip.unconsumed_tail:
        raise NotASitemap(f"it unpacks to more than {MAX_BYTES:,} bytes")
    if not unzip.eof:
        raise NotASitemap("it is gzip that breaks off")
    return whole


def _lines(data: bytes) -> Sitemap:
    lines = [line.strip() for line in data.decode("utf-8", "replace").splitlines()]
    urls = [line for line in lines if line]
    if not all(url.startswith(("http://", "https://")) for url in urls):
        raise NotASitemap("it is neither XML nor a list of URLs")
    return Sitemap(is_index=False, entries=tuple(map(Entry, urls)))


class _Reader:
    def __init__(self) -> None:
        self.root = ""
        self.entries: list[Entry] = []
        self._path: list[str] = []
        self._fields: dict[str, str] = {}
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text

    def _refuse(self, *_: object) -> None:
        raise NotASitemap("it has a document type, which no sitemap needs")

    def _start(self, name: str, _attributes: dict[str, str]) -> None:
        local = name.rpartition(" ")[2]
        self.root = self.root or local
        self._path.append(local)
        if len(self._path) == 2:
            self._fields = {}

    def _text(self, text: str) -> None:
        # Extensions (images, videos, languages) stand deeper.
        if len(self._path) == 3 and self._path[2] in ("loc", "lastmod"):
            self._fields[self._path[2]] = self._fields.get(self._path[2], "") + text

    def _end(self, _name: str) -> None:
        self._path.pop()
        if len(self._path) == 1 and (url := self._fields.pop("loc", "").strip()):
            if len(url) > _MAX_URL_CHARS:
                raise NotASitemap(f"it has a URL of more than {_MAX_URL_CHARS:,} characters")
            self.entries.append(Entry(url, self._fields.pop("lastmod", "").strip()))
