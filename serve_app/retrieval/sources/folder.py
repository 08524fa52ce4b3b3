"""Files of this machine as a source: a folder, or some files that were named one by one.

A file's version is the SHA-256 of its bytes: dates lie (checkouts, copies, restored backups), and hashing
costs a second for each GB or two. Hidden files and folders of environments are no documents, and links
to folders are not followed. A link to a file is read where it leads to one inside the folder (as volumes
of Kubernetes have them): whoever may write into a folder of documents shall not choose which other files
of this machine are read, and shown to whom.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from serve_app.retrieval.documents.load import SUFFIXES
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

_LEFT_OUT = frozenset(("__pycache__", "node_modules"))


class _Files:
    """What a folder and single files have in common."""

    max_concurrent_reads = 4

    def __init__(self, name: str, max_bytes: int, *, tells_uris: bool) -> None:
        self._name = name
        self._max_bytes = max_bytes
        self._tells_uris = tells_uris
        self.num_skipped = 0

    @property
    def name(self) -> str:
        return self._name

    async def read(self, wanted: SourceObject, max_bytes: int, known_version: str = "") -> Content | None:
        data = await asyncio.to_thread(self._bytes_of, Path(wanted.location), max_bytes)
        return Content(data, metadata=wanted.metadata)

    def _bytes_of(self, file: Path, max_bytes: int) -> bytes:
        return _bytes_of(file, max_bytes)

    async def close(self) -> None:
        pass

    def _object(self, path: str, file: Path) -> SourceObject:
        """The file as it is now. One that cannot be read has no version: `read` will say why. Blocks."""
        try:
            facts = file.stat()
            is_readable = facts.st_size <= self._max_bytes  # what is refused anyway need not be hashed
            version = _sha256(file) if is_readable else None
        except OSError:
            return SourceObject(path, str(file), None)
        modified_at = iso_utc(datetime.fromtimestamp(facts.st_mtime, UTC))
        metadata = {MODIFIED_AT: modified_at}
        if self._tells_uris:
            metadata[URI] = file.absolute().as_uri()
        return SourceObject(path, str(file), version, facts.st_size, metadata)


class FolderFiles(_Files):
    """A folder. Its files are found again at each listing.

    Args:
        name: of the source.
        folder: whose files, in any depth.
        max_bytes: a file of more is listed, and not hashed.
        chooses: says of a path inside the folder whether it is wanted.
        tells_uris: whether the files' addresses (`file:`) go with them.
    """

    is_whole = True

    def __init__(
        self,
        name: str,
        folder: Path,
        max_bytes: int,
        chooses: Callable[[str], bool] = lambda path: True,
        *,
        tells_uris: bool = True,
    ) -> None:
        super().__init__(name, max_bytes, tells_uris=tells_uris)
        self._folder = folder
        self._chooses = chooses

    async def objects(self) -> AsyncIterator[SourceObject]:
        try:
            files = await asyncio.to_thread(lambda: sorted(_walk(self._folder)))
        except OSError as exc:
            raise SourceUnavailable(
                f"the source {self._name} cannot be listed: {exc.filename or self._folder}: {exc.strerror or exc}"
            ) from exc
        self.num_skipped = 0
        for file in files:
            path = file.relative_to(self._folder).as_posix()
            if file.suffix.lower() not in SUFFIXES or not self._chooses(path):
                self.num_skipped += 1
                continue
            yield await asyncio.to_thread(self._object, path, file)

    def _object(self, path: str, file: Path) -> SourceObject:
        if self._leads_out(file):
            return SourceObject(path, str(file), None)  # `read` will say why
        return super()._object(path, file)

    def _bytes_of(self, file: Path, max_bytes: int) -> bytes:
        if self._leads_out(file):
            raise ObjectUnreadable(
                "it is a link that leads out of the folder: copy the file, or name it itself"
            )
        return super()._bytes_of(file, max_bytes)

    def _leads_out(self, file: Path) -> bool:
        return file.is_symlink() and not file.resolve().is_relative_to(self._folder.resolve())


class SingleFiles(_Files):
    """Files that were named one by one: what is not named is not gone."""

    is_whole = False

    def __init__(self, name: str, files: Sequence[Path], max_bytes: int, *, tells_uris: bool = True) -> None:
        super().__init__(name, max_bytes, tells_uris=tells_uris)
        self._files = tuple(files)

    async def objects(self) -> AsyncIterator[SourceObject]:
        for file in self._files:
            yield await asyncio.to_thread(self._object, file.name, file)


def _walk(folder: Path) -> Iterator[Path]:
    """Files below a folder. Raises OSError where any folder cannot be listed."""
    for entry in folder.iterdir():
        if entry.name.startswith(".") or entry.name in _LEFT_OUT:
            continue
        if entry.is_dir() and not entry.is_symlink():
            yield from _walk(entry)
        elif entry.is_file():
            yield entry


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _bytes_of(file: Path, max_bytes: int) -> bytes:
    try:
        num_bytes = file.stat().st_size
        if num_bytes > max_bytes:
            raise too_large(num_bytes, max_bytes)
        with file.open("rb") as stream:
            data = stream.read(max_bytes + 1)  # it may have grown since
    except OSError as exc:
        raise ObjectUnreadable(exc.strerror or str(exc)) from exc
    if len(data) > max_bytes:
        raise too_large(None, max_bytes)
    return data
