"""A bucket's prefix as a source: objects by ETag, in S3 or whatever speaks its protocol.

An object's path is its key after the prefix. Unchanged objects are never read: the listing tells their
ETags. Nothing is ever written.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError, NotModifiedError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from configs.load import secret
from configs.schema import S3Source
from serve_app.retrieval.documents.load import suffix_is_read
from serve_app.retrieval.sources.base import (
    MODIFIED_AT,
    URI,
    Content,
    ObjectUnreadable,
    SourceObject,
    SourceUnavailable,
    iso_utc,
    too_large,
)

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import ClientConfig, RetryConfig, S3Config

_PAGE = 1000  # objects of one listing request, which is S3's own
_ETAG = "etag:"
_RETRY: RetryConfig = {
    "max_retries": 3,
    "retry_timeout": timedelta(seconds=30),
    "backoff": {"init_backoff": timedelta(milliseconds=200), "max_backoff": timedelta(seconds=3), "base": 2},
}


class S3Objects:
    """Objects under a prefix.

    Args:
        config: where they are.
        chooses: says of a path inside the prefix whether it is wanted.
    """

    is_whole = True

    def __init__(self, config: S3Source, chooses: Callable[[str], bool] = lambda path: True) -> None:
        self._config = config
        self._chooses = chooses
        self._url = config.url.rstrip("/")
        self._store = _store(config, self._url)
        self.num_skipped = 0

    @property
    def name(self) -> str:
        return self._config.name

    @property
    def max_concurrent_reads(self) -> int:
        return self._config.max_concurrent_reads

    async def objects(self) -> AsyncIterator[SourceObject]:
        self.num_skipped = 0
        with self._listing():
            async for page in obstore.list(self._store, chunk_size=_PAGE):
                for found in page:
                    path = found["path"]
                    if not suffix_is_read(path) or not self._chooses(path):
                        self.num_skipped += not path.endswith("/")
                        continue
                    yield SourceObject(
                        path,
                        path,
                        f"{_ETAG}{found['e_tag']}" if found["e_tag"] else None,
                        found["size"],
                        {URI: f"{self._url}/{path}", MODIFIED_AT: iso_utc(found["last_modified"])},
                    )

    async def read(self, wanted: SourceObject, max_bytes: int, known_version: str = "") -> Content | None:
        if wanted.num_bytes is not None and wanted.num_bytes > max_bytes:
            raise too_large(wanted.num_bytes, max_bytes)
        try:
            return await self._read(wanted, max_bytes, known_version)
        except NotModifiedError:
            return None
        except FileNotFoundError as exc:
            raise ObjectUnreadable("it is gone since it was listed") from exc
        except (PermissionDeniedError, UnauthenticatedError) as exc:
            raise ObjectUnreadable("the store does not let us read it") from exc
        except (BaseError, OSError) as exc:
            raise ObjectUnreadable(f"the store does not give it: {_first_line(exc)}") from exc

    async def close(self) -> None:
        pass

    async def _read(self, wanted: SourceObject, max_bytes: int, known_version: str) -> Content:
        options: GetOptions = {}
        if known_version.startswith(_ETAG):
            options["if_none_match"] = known_version.removeprefix(_ETAG)
        result = await obstore.get_async(self._store, wanted.location, options=options)
        meta = result.meta
        if meta["size"] > max_bytes:  # it has grown since it was listed
            raise too_large(meta["size"], max_bytes)
        data = bytes(await result.bytes_async())
        metadata = {**wanted.metadata, MODIFIED_AT: iso_utc(meta["last_modified"])}
        media_type = result.attributes.get("Content-Type")
        # What uploaders leave as the default says less than the key's suffix.
        return Content(
            data, f"{_ETAG}{meta['e_tag']}" if meta["e_tag"] else "", _telling(media_type), metadata
        )

    @contextmanager
    def _listing(self) -> Iterator[None]:
        try:
            yield
        except (BaseError, OSError) as exc:
            raise SourceUnavailable(
                f"the source {self.name} cannot be listed: {self._url}: {_first_line(exc)}"
            ) from exc


def _store(config: S3Source, url: str) -> S3Store:
    settings: S3Config = {"skip_signature": config.is_public}
    if config.region:
        settings["region"] = config.region
    if config.endpoint:
        settings["endpoint"] = config.endpoint
    if config.access_key_id is not None and config.secret_access_key is not None:
        settings["access_key_id"] = secret(config.access_key_id)
        settings["secret_access_key"] = secret(config.secret_access_key)
    client: ClientConfig = {
        "timeout": timedelta(seconds=config.timeout_s),
        "allow_http": bool(config.endpoint and config.endpoint.startswith("http://")),
    }
    return S3Store.from_url(url, config=settings, client_options=client, retry_config=_RETRY)


def _telling(media_type: str | None) -> str | None:
    vague = ("", "binary/octet-stream", "application/octet-stream", "text/plain")
    return None if media_type is None or media_type.partition(";")[0].strip().lower() in vague else media_type


def _first_line(exc: BaseException) -> str:
    return str(exc).strip().partition("\n")[0][:200] or exc.__class__.__name__
