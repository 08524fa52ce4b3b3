"""Fetch one pinned file over HTTP: resumable, checked, and under its name only when it is whole.

Knows nothing of models; the caller holds the right to write the file (`locking.writer_of`).
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from configs.load import Hub
from serve_app.errors import ConfigError, StorageFull, Unavailable
from serve_app.model_cache.catalogue import HubSource
from serve_app.model_cache.locking import disk_errors, publish

Progress = Callable[[int, int | None], None]  # (bytes done, bytes in all if known)

# A hub that cannot be reached must be known at once: the application starts without the model then.
_TIMEOUT = httpx.Timeout(60.0, connect=5.0)
_MAX_INTERRUPTIONS = 5  # broken connections in one call before it gives up; the next call resumes
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class _InterruptedError(Exception):
    """The connection broke in the middle of the file; what came is kept."""


@dataclass(frozen=True, slots=True)
class _Body:
    """How the server answered: where its bytes begin, and how long the whole file is."""

    start: int
    total: int | None


def download(
    source: HubSource,
    path: Path,
    hub: Hub,
    progress: Progress | None = None,
    transport: httpx.BaseTransport | None = None,
) -> None:
    """Put the pinned file at `path`, resuming from `path`.part if there is one.

    Raises:
        Unavailable: the hub cannot be reached or is overloaded; what came so far is kept.
        ConfigError: the hub does not give us the file, or its content is not what was pinned.
        StorageFull: the disk has no room; nothing is left behind.
    """
    part = path.with_name(path.name + ".part")
    url = f"{hub.endpoint}/{source.repo}/resolve/{source.revision}/{source.file}"
    headers = {"Authorization": f"Bearer {hub.token}"} if hub.token else {}
    try:
        # httpx drops the bearer token where the hub redirects to another host.
        with httpx.Client(
            transport=transport, timeout=_TIMEOUT, headers=headers, follow_redirects=True
        ) as client:
            _fetch(client, url, source, part, progress or _silent)
    except StorageFull:
        # A full disk hurts everything else on the machine more than a second download does.
        part.unlink(missing_ok=True)
        raise
    _verify(part, source)
    with disk_errors(path):
        publish(part, path)


def _fetch(client: httpx.Client, url: str, source: HubSource, part: Path, progress: Progress) -> None:
    interruptions = 0
    while True:
        try:
            return _fetch_rest(client, url, source, part, progress)
        except _InterruptedError as exc:
            interruptions += 1
            if interruptions > _MAX_INTERRUPTIONS:
                raise Unavailable(
                    f"{httpx.URL(url).host} broke off {source.file} {interruptions} times; "
                    f"what came is kept, and the next attempt resumes it"
                ) from exc
        except httpx.TransportError as exc:
            what = f"{source.repo}/{source.file}"
            raise Unavailable(
                f"{httpx.URL(url).host} cannot be reached for {what}: {exc or type(exc).__name__}"
            ) from exc


def _fetch_rest(client: httpx.Client, url: str, source: HubSource, part: Path, progress: Progress) -> None:
    """Append what is missing in `part`; returns when it is complete."""
    have = part.stat().st_size if part.exists() else 0
    if source.num_bytes is not None and have >= source.num_bytes:
        if have == source.num_bytes:
            return  # whole already; the checksum decides
        part.unlink()
        have = 0
    # Compressed on the way, ranges would count other bytes than the file's.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with client.stream("GET", url, headers=headers) as response:
        if response.status_code == 416:  # our part does not fit the file over there: begin again
            part.unlink()
            raise _InterruptedError
        _check_status(response, source)
        body = _body(response)
        if body.start not in (0, have):
            raise ConfigError(f"{response.url.host} sent byte {body.start} of {source.file}, not {have}")
        _check_length(response, source, body)
        _check_room(part, body)
        _write(response, part, body, progress)


def _body(response: httpx.Response) -> _Body:
    """A server may ignore the range and send everything: then the file begins at 0."""
    if response.status_code == 206:
        match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if not match:
            raise ConfigError(f"{response.url.host} sent a part of the file without saying which")
        return _Body(int(match[1]), None if match[2] == "*" else int(match[2]))
    length = response.headers.get("Content-Length")
    return _Body(0, int(length) if length else None)


def _check_status(response: httpx.Response, source: HubSource) -> None:
    host, what, status = response.url.host, f"{source.repo}/{source.file}", response.status_code
    if status in (401, 403):
        raise ConfigError(f"{host} refuses {what} (HTTP {status}); set HF_TOKEN to a token that may read it")
    if status == 404:
        raise ConfigError(f"{host} has no {what} at revision {source.revision} (HTTP 404)")
    if status == 429 or status >= 500:
        raise Unavailable(f"{host} cannot serve {what} at the moment (HTTP {status})")
    if status not in (200, 206):
        raise ConfigError(f"{host} answered HTTP {status} for {what}")


def _check_length(response: httpx.Response, source: HubSource, body: _Body) -> None:
    if source.num_bytes is not None and body.total is not None and body.total != source.num_bytes:
        raise ConfigError(
            f"{source.file} on {response.url.host} has {body.total} bytes, "
            f"not the {source.num_bytes} of the pinned file"
        )


def _check_room(part: Path, body: _Body) -> None:
    if body.total is None:
        return
    # The server's bytes from `start` on are to come; a part that is overwritten is already on the disk.
    missing = body.total - (part.stat().st_size if part.exists() else 0)
    free = shutil.disk_usage(part.parent).free
    if missing > free:
        raise StorageFull(
            f"{part.name.removesuffix('.part')} needs {missing} bytes more in {part.parent}; {free} are free"
        )


def _write(response: httpx.Response, part: Path, body: _Body, progress: Progress) -> None:
    done = body.start
    with disk_errors(part), part.open("ab" if body.start else "wb") as handle:
        progress(done, body.total)
        try:
            for chunk in response.iter_bytes():  # of a size of its own it would lose the last one to a break
                handle.write(chunk)
                done += len(chunk)
                progress(done, body.total)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.ReadTimeout) as exc:
            raise _InterruptedError from exc
    if body.total is not None and done < body.total:
        raise _InterruptedError


def _verify(part: Path, source: HubSource) -> None:
    digest = sha256_of(part)
    if digest != source.sha256:
        part.unlink()
        raise ConfigError(
            f"{source.repo}/{source.file} has the checksum {digest[:16]}..., not the pinned "
            f"{source.sha256[:16]}...; it was thrown away, and the next attempt begins anew"
        )


def sha256_of(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _silent(_done: int, _total: int | None) -> None:
    return
