"""Fetch a remote folder by ranges, many at once: resumable, checked, and a file under its name only when it is whole.

    folder/model-00001.safetensors             whole and checked
    folder/model-00002.safetensors.part        bytes at their final places, with holes
    folder/model-00002.safetensors.part.done   which version, then the number of each range that is there

Bytes go from the library's buffer to the file at once (pwrite): Python copies none. Knows nothing of models; the
caller holds the right to write the folder (`locking.writer_of`).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

import obstore
from obstore import exceptions

from serve_app.errors import ConfigError, StorageFull, Unavailable
from serve_app.model_cache.locking import disk_errors, publish
from serve_app.model_cache.remote import RemoteFile, RemoteFolder, store_errors, wrong

Progress = Callable[[int, int | None], None]  # (bytes done, bytes in all if known)

# S3 gives one connection about 85-90 MB/s and answers ranges of 8-16 MB best (AWS, "Best practices design
# patterns: optimizing Amazon S3 performance", read 2026-11): 32 fill a 25 Gbit/s line, in 256 MiB of memory.
RANGE_BYTES = 8 << 20
NUM_CONNECTIONS = 32
_NUM_ATTEMPTS = 4  # of a range whose bytes break off; what the server refuses is not asked again


@dataclass(slots=True)
class _Download:
    """A file on its way."""

    file: RemoteFile
    part: Path
    missing: set[int]  # numbers of ranges
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def done_path(self) -> Path:
        return self.part.with_name(self.part.name + ".done")

    def span(self, number: int) -> tuple[int, int]:
        """(first byte, byte after the last) of a range."""
        start = number * RANGE_BYTES
        return start, min(start + RANGE_BYTES, self.file.num_bytes)


class _Meter:
    """Counts bytes for the caller; ranges end on many threads."""

    def __init__(self, progress: Progress | None, done: int, total: int) -> None:
        self._progress, self._done, self._total = progress, done, total
        self._lock = threading.Lock()
        self.add(0)

    def add(self, num_bytes: int) -> None:
        with self._lock:
            self._done += num_bytes
            if self._progress:
                self._progress(self._done, self._total)


def fetch(remote: RemoteFolder, folder: Path, progress: Progress | None = None) -> dict[str, str]:
    """Have all files in `folder`, and nothing else; returns path -> SHA-256.

    What an earlier call left there is kept: whole files, and ranges of the same version.

    Raises:
        Unavailable: the server cannot be reached or broke off too often; what came so far is kept.
        ConfigError: it does not give us a file, or a file is not what was pinned (it is thrown away).
        StorageFull: the disk has no room.
    """
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _remove_others(remote, folder)
        there = [file for file in remote.files if _is_whole(file, folder)]
        downloads = [_begin(file, folder) for file in remote.files if file not in there]
    num_missing = sum(end - start for d in downloads for start, end in map(d.span, d.missing))
    _check_room(remote, folder, num_missing)
    meter = _Meter(progress, remote.num_bytes - num_missing, remote.num_bytes)
    stop = threading.Event()
    with ThreadPoolExecutor(NUM_CONNECTIONS, thread_name_prefix="fetch") as pool, _stopping(pool, stop):
        jobs: list[Future[tuple[str, str] | None]] = []
        jobs += [pool.submit(_check_again, remote, file, folder) for file in there]
        jobs += [
            pool.submit(_fetch_range, remote, download, number, meter, stop)
            for download in downloads
            for number in _numbers(download)
        ]
        sums: dict[str, str] = {}
        for future in as_completed(jobs):
            finished = future.result()
            if finished is not None:
                sums[finished[0]] = finished[1]
    return sums


def _numbers(download: _Download) -> list[int | None]:
    """What is missing, from the start; [None] where it is only the end that is: the check and the name."""
    numbers: list[int | None] = [*sorted(download.missing)]
    return numbers or [None]


@contextlib.contextmanager
def _stopping(pool: ThreadPoolExecutor, stop: threading.Event) -> Iterator[None]:
    """Let the first failure, or an interrupt, end the others after the range that each is at."""
    try:
        yield
    except BaseException:
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
        raise


def _fetch_range(
    remote: RemoteFolder, download: _Download, number: int | None, meter: _Meter, stop: threading.Event
) -> tuple[str, str] | None:
    """Put one range (None: there is none to fetch) in its place; the last one of a file finishes the file."""
    if stop.is_set():
        return None
    if number is not None:
        start, end = download.span(number)
        content = memoryview(_read(remote, download.file, start, end))
        with disk_errors(download.part):
            _write(download, number, content, start)
        meter.add(end - start)
        with download.lock:
            download.missing.discard(number)
            if download.missing:
                return None
    return download.file.path, _finish(remote, download)


def _read(remote: RemoteFolder, file: RemoteFile, start: int, end: int) -> obstore.Bytes | bytes:
    if start == end:
        return b""
    what = f"{file.path} of {remote.source}"
    options: obstore.GetOptions = {"if_match": file.e_tag} if file.e_tag else {}
    if end - start < file.num_bytes:  # a small file may come compressed or from a host that knows no ranges
        options["range"] = (start, end)
    for attempt in range(1, _NUM_ATTEMPTS + 1):
        with store_errors(remote.key, what):
            try:
                content = obstore.get(remote.store, file.object_path, options=options).bytes()
            except exceptions.GenericError as exc:
                if attempt < _NUM_ATTEMPTS and "body error" in str(exc):
                    continue
                raise
        if len(content) == end - start:
            return content
        if end - start == file.num_bytes:
            raise ConfigError(
                f"{remote.key}: {what} has {len(content)} bytes, not the stated {file.num_bytes}"
            )
    raise Unavailable(f"{remote.key}: {what} broke off {_NUM_ATTEMPTS} times; the next attempt resumes it")


def _write(download: _Download, number: int, content: memoryview, start: int) -> None:
    with download.part.open("r+b", buffering=0) as handle:
        fd, written = handle.fileno(), 0
        while written < len(content):
            written += os.pwrite(fd, content[written:], start + written)
        if not download.file.checksums:
            os.fdatasync(fd)  # after a loss of power nothing else would tell a range from a hole
    with download.lock, download.done_path.open("a", encoding="ascii") as done:
        done.write(f"{number}\n")


def _finish(remote: RemoteFolder, download: _Download) -> str:
    """Check the whole file and give it its name; returns its SHA-256."""
    with disk_errors(download.part):
        digest, fault = wrong(download.part, download.file.checksums)
        if fault is not None:
            download.done_path.unlink()
            download.part.unlink()
            raise _thrown_away(remote, download.file, fault)
        publish(download.part, download.part.with_name(download.part.name.removesuffix(".part")))
        download.done_path.unlink()
    return digest


def _begin(file: RemoteFile, folder: Path) -> _Download:
    """Find what an earlier attempt left, or make a file of the right length with nothing in it."""
    part = folder / (file.path + ".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    download = _Download(file, part, set(range(-(-file.num_bytes // RANGE_BYTES))))
    header = json.dumps([file.identity, file.num_bytes, RANGE_BYTES])
    try:
        # What follows the last line's end was being written when the process died.
        first, *numbers = download.done_path.read_text(encoding="ascii").split("\n")[:-1]
        resumable = file.identity is not None and first == header and part.stat().st_size == file.num_bytes
    except (OSError, ValueError):
        resumable = False
    if resumable:
        download.missing.difference_update(int(number) for number in numbers if number.isdigit())
    else:
        download.done_path.write_text(header + "\n", encoding="ascii")
        with part.open("wb") as handle:
            handle.truncate(file.num_bytes)
    return download


def _is_whole(file: RemoteFile, folder: Path) -> bool:
    """It got its name in an earlier attempt, so it was checked; a version that nothing names is fetched again."""
    path = folder / file.path
    return bool(file.checksums) and path.is_file() and path.stat().st_size == file.num_bytes


def _check_again(remote: RemoteFolder, file: RemoteFile, folder: Path) -> tuple[str, str] | None:
    """Of a file of an earlier attempt: its bytes may not have reached the disk before the power went."""
    path = folder / file.path
    digest, fault = wrong(path, file.checksums)
    if fault is not None:
        path.unlink()
        raise _thrown_away(remote, file, fault)
    return file.path, digest


def _thrown_away(remote: RemoteFolder, file: RemoteFile, fault: str) -> ConfigError:
    return ConfigError(
        f"{remote.key}: {file.path} of {remote.source} is not what was pinned: {fault}; "
        "it was thrown away, and the next attempt begins it anew"
    )


def _remove_others(remote: RemoteFolder, folder: Path) -> None:
    names = {file.path + end for file in remote.files for end in ("", ".part", ".part.done")}
    for path in folder.rglob("*"):
        if path.is_file() and path.relative_to(folder).as_posix() not in names:
            path.unlink()


def _check_room(remote: RemoteFolder, folder: Path, num_missing: int) -> None:
    free = shutil.disk_usage(folder).free
    if num_missing > free:
        raise StorageFull(
            f"{remote.key}: {remote.source} needs {num_missing} bytes more in {folder.parent}; {free} are free"
        )
