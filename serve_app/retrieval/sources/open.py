"""From a configured source to one that can be listed; from what a person types, too.

Heavy imports stay in their branches: naming a source costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar, cast

from pydantic import BaseModel, ValidationError

from configs.schema import FolderSource, HttpSource, S3Source, SourceConfig
from serve_app.errors import BadRequest
from serve_app.retrieval.sources.base import Source
from serve_app.retrieval.sources.folder import FolderFiles, SingleFiles
from serve_app.retrieval.sources.globs import chooser

T = TypeVar("T", bound=BaseModel)


def open_source(config: SourceConfig, home: Path, max_bytes: int) -> Source:
    """The source that a configuration names; disks and servers are reached when it is listed.

    Args:
        config: which one.
        home: what a folder's relative path is inside of.
        max_bytes: of a document; a larger one is listed, and refused by name when it is read.

    Raises:
        ConfigError: a pattern is no glob.
        ProfileError: a secret is not set.
    """
    chooses = chooser(config.include, config.exclude)
    if isinstance(config, FolderSource):
        return FolderFiles(config.name, home / Path(config.path).expanduser(), max_bytes, chooses)
    if isinstance(config, S3Source):
        from serve_app.retrieval.sources.s3 import S3Objects

        return S3Objects(config, chooses)
    from serve_app.retrieval.sources.http import HttpPages

    return HttpPages(config, chooses)


def named(
    places: Sequence[str], name: str | None, max_bytes: int, *, tells_uris: bool = True, **options: object
) -> list[Source]:
    """Sources from what stands on a command line: folders, files, globs, `s3://...` and `http(s)://...`.

    Each folder, bucket and site is a source of its own; files that were named share one. A pattern
    (`docs/**/*.md`) is the folder before its first wildcard, restricted.

    Args:
        places: as typed.
        name: of the sources; None: the folder's, the bucket's, the host's.
        max_bytes: of a document.
        tells_uris: whether files tell where they are on this machine.
        options: fields of S3Source or HttpSource, and `also_allow`: hosts beside those of the pages.

    Raises:
        BadRequest: a place is not there, or cannot be one; it is named.
    """
    sources: list[Source] = []
    files: list[Path] = []
    pages: list[str] = []
    for place in places:
        path = Path(place).expanduser()
        if place.startswith("s3://"):
            sources.append(_bucket(place, name, options))
        elif place.startswith(("http://", "https://")):
            pages.append(place)
        elif path.is_dir():
            sources.append(FolderFiles(name or path.resolve().name, path, max_bytes, tells_uris=tells_uris))
        elif path.exists():
            files.append(path)
        elif (glob := _glob(place)) is not None:
            folder, pattern = glob
            chooses = chooser([pattern], [])
            own = name or folder.resolve().name
            sources.append(FolderFiles(own, folder, max_bytes, chooses, tells_uris=tells_uris))
        else:
            raise BadRequest(f"{place}: no such file or folder")
    if files:
        sources.append(SingleFiles(name or "files", files, max_bytes, tells_uris=tells_uris))
    if pages:
        sources.append(_site(pages, name, options))
    return sources


def _glob(place: str) -> tuple[Path, str] | None:
    """The folder that a pattern is about, and the pattern inside it; None: there is no such folder."""
    parts = Path(place).expanduser().parts
    first = next((at for at, part in enumerate(parts) if any(sign in part for sign in "*?[")), None)
    if first is None:
        return None
    folder = Path(*parts[:first])
    return (folder, "/" + "/".join(parts[first:])) if folder.is_dir() else None


def _bucket(url: str, name: str | None, options: Mapping[str, object]) -> Source:
    from serve_app.retrieval.sources.s3 import S3Objects

    own = {key: value for key, value in options.items() if key in S3Source.model_fields}
    config = _checked(S3Source, {"kind": "s3", "name": name or url.rstrip("/"), "url": url, **own}, url)
    return S3Objects(config)


def _site(urls: Sequence[str], name: str | None, options: Mapping[str, object]) -> Source:
    from serve_app.retrieval.sources.http import HttpPages, host_of

    own = {key: value for key, value in options.items() if key in HttpSource.model_fields}
    if also := options.get("also_allow"):
        own["allow"] = (*map(host_of, urls), *cast("Sequence[str]", also))
    is_map = [url.partition("?")[0].endswith((".xml", ".xml.gz")) for url in urls]
    given = {
        "kind": "http",
        "name": name or host_of(urls[0]),
        "urls": tuple(url for url, yes in zip(urls, is_map, strict=True) if not yes),
        "sitemaps": tuple(url for url, yes in zip(urls, is_map, strict=True) if yes),
        **own,
    }
    # What is no longer in a sitemap is gone; pages that were named one by one say nothing of others.
    return HttpPages(_checked(HttpSource, given, urls[0]), is_whole=bool(given["sitemaps"]))


def _checked(kind: type[T], given: Mapping[str, object], place: str) -> T:
    try:
        return kind.model_validate(given)
    except ValidationError as exc:
        first = exc.errors()[0]
        raise BadRequest(f"{place}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from exc
