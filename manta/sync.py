"""What to send so that a source of the knowledge base is current.

The server compares hashes and says what it wants; a document that did not change is never sent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from manta.client import MantaClient
from serve_app.errors import BadRequest
from serve_app.retrieval.documents.load import SUFFIXES

MAX_BATCH_BYTES = 8 * 1024 * 1024
MAX_BATCH_DOCUMENTS = 64


@dataclass(frozen=True, slots=True)
class Collection:
    """Files that belong to one source. A whole one says what is gone; single files do not."""

    source: str
    files: tuple[tuple[str, Path], ...]  # path inside the source, file
    is_whole: bool
    num_skipped: int = 0  # files of a kind that is not read


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What a sync did, in documents and chunks."""

    num_added: int = 0
    num_changed: int = 0
    num_unchanged: int = 0
    num_removed: int = 0
    num_skipped: int = 0
    num_chunks: int = 0  # of added and changed documents
    num_embedded: int = 0  # chunks whose text was not known before
    failed: tuple[tuple[str, str], ...] = field(default=())  # path, reason

    def __add__(self, other: SyncReport) -> SyncReport:
        return SyncReport(
            self.num_added + other.num_added,
            self.num_changed + other.num_changed,
            self.num_unchanged + other.num_unchanged,
            self.num_removed + other.num_removed,
            self.num_skipped + other.num_skipped,
            self.num_chunks + other.num_chunks,
            self.num_embedded + other.num_embedded,
            self.failed + other.failed,
        )


def collect(paths: Iterable[Path], source: str | None = None) -> list[Collection]:
    """Folders become whole collections; single files share one.

    Raises:
        BadRequest: a path is not there.
    """
    collections: list[Collection] = []
    singles: list[tuple[str, Path]] = []
    for path in paths:
        if path.is_dir():
            files = sorted(_walk(path))
            readable = [file for file in files if file.suffix.lower() in SUFFIXES]
            named = tuple((file.relative_to(path).as_posix(), file) for file in readable)
            name = source or path.resolve().name
            collections.append(Collection(name, named, is_whole=True, num_skipped=len(files) - len(readable)))
        elif path.exists():
            singles.append((path.name, path))
        else:
            raise BadRequest(f"{path}: no such file or folder")
    if singles:
        collections.append(Collection(source or "files", tuple(singles), is_whole=False))
    return collections


def sync(
    client: MantaClient, collection: Collection, advance: Callable[[int], None], *, allow_empty: bool = False
) -> SyncReport:
    """Bring one source up to date.

    Raises:
        BadRequest: a folder without documents would remove all that the source has.
    """
    hashes: dict[str, str] = {}
    failed: list[tuple[str, str]] = []
    for path, file in collection.files:
        try:
            hashes[path] = _sha256(file)
        except OSError as exc:
            failed.append((path, exc.strerror or str(exc)))
    plan = client.plan_sync(collection.source, hashes)
    # A file that cannot be read now is not gone.
    gone = plan["gone"] if collection.is_whole and not failed else []
    if gone and not hashes and not allow_empty:
        raise BadRequest(
            f"{collection.source}: the folder has no documents, which would remove all {len(gone)} of this source; "
            "say --allow-empty if that is meant"
        )
    advance(plan["num_unchanged"] + len(failed))
    report = SyncReport(num_unchanged=plan["num_unchanged"], num_skipped=collection.num_skipped)
    wanted = set(plan["upload"])
    for batch in _batches((path, file) for path, file in collection.files if path in wanted):
        contents: dict[str, bytes] = {}
        for path, file in batch:
            try:
                contents[path] = file.read_bytes()
            except OSError as exc:  # it went away since it was hashed
                failed.append((path, exc.strerror or str(exc)))
        report += _outcomes(client.put_documents(collection.source, contents))
        advance(len(batch))
    if gone:
        report += SyncReport(num_removed=client.delete_documents(gone))
    return report + SyncReport(failed=tuple(failed))


def _outcomes(outcomes: list[dict[str, object]]) -> SyncReport:
    def count(status: str) -> int:
        return sum(outcome["status"] == status for outcome in outcomes)

    return SyncReport(
        num_added=count("added"),
        num_changed=count("changed"),
        num_unchanged=count("unchanged"),
        num_chunks=sum(int(str(outcome["num_chunks"])) for outcome in outcomes),
        num_embedded=sum(int(str(outcome["num_embedded"])) for outcome in outcomes),
        failed=tuple(
            (str(outcome["path"]), str(outcome["reason"]))
            for outcome in outcomes
            if outcome["status"] == "failed"
        ),
    )


def _walk(folder: Path) -> Iterator[Path]:
    """Files below a folder, hidden ones and environments left out."""
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith(".") or entry.name in ("__pycache__", "node_modules"):
            continue
        if entry.is_dir() and not entry.is_symlink():
            yield from _walk(entry)
        elif entry.is_file():
            yield entry


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _batches(files: Iterable[tuple[str, Path]]) -> Iterator[list[tuple[str, Path]]]:
    batch: list[tuple[str, Path]] = []
    num_bytes = 0
    for path, file in files:
        size = file.stat().st_size if file.exists() else 0
        if batch and (num_bytes + size > MAX_BATCH_BYTES or len(batch) == MAX_BATCH_DOCUMENTS):
            yield batch
            batch, num_bytes = [], 0
        batch.append((path, file))
        num_bytes += size
    if batch:
        yield batch
