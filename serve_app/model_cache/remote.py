"""A folder of files somewhere else: what is in it, how each file is known to be right, and whence its bytes come.

`hub_folder` and `store_folder` open one; `ranges` fetches it. Errors of the library underneath become
ours here, with the key of the configuration that named the folder.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

from obstore import exceptions

from serve_app.errors import ConfigError, MantaError, Unavailable

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

_READ_BYTES = 1 << 20

# Of one range; a server that sends nothing for half a minute is asked again.
CLIENT: ClientConfig = {"connect_timeout": "5s", "read_timeout": "30s", "timeout": "10m"}
RETRY: RetryConfig = {
    "max_retries": 3,
    "retry_timeout": timedelta(seconds=30),
    "backoff": {"init_backoff": timedelta(milliseconds=200), "max_backoff": timedelta(seconds=3), "base": 2},
}


@dataclass(frozen=True, slots=True)
class Checksum:
    """What a file's content must hash to. `git` is a blob's object id: SHA-1 over its length and content."""

    kind: Literal["sha256", "git"]
    value: str  # hex


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a remote folder."""

    path: str  # in the folder, with slashes
    object_path: str  # in the store
    num_bytes: int
    checksums: tuple[Checksum, ...]
    e_tag: str | None = None  # of the version that was listed; None: the path itself names a version

    @property
    def identity(self) -> str | None:
        """Differs where the content may differ; None: nothing tells, so that no earlier bytes may be kept."""
        return self.checksums[0].value if self.checksums else self.e_tag


@dataclass(frozen=True, slots=True)
class RemoteFolder:
    """What is to be fetched."""

    source: str  # for people: where, and which version
    key: str  # of the configuration, for errors: models.NAME.weights.url
    store: ObjectStore
    files: tuple[RemoteFile, ...]

    def __post_init__(self) -> None:
        for file in self.files:
            parts = PurePosixPath(file.path).parts
            if file.path.startswith("/") or ".." in parts or file.path.endswith((".part", ".part.done")):
                raise ConfigError(
                    f"{self.key}: {self.source} has a file {file.path!r}, which has no place here"
                )

    @property
    def num_bytes(self) -> int:
        """Of all files."""
        return sum(file.num_bytes for file in self.files)


def wrong(path: Path, checksums: tuple[Checksum, ...]) -> tuple[str, str | None]:
    """(SHA-256 of the file, which of the checksums it fails, in words), in one pass over the file."""
    git = hashlib.sha1(usedforsecurity=False)
    git.update(b"blob %d\0" % path.stat().st_size)
    sha256 = hashlib.sha256()
    wants_git = any(checksum.kind == "git" for checksum in checksums)
    buffer = memoryview(bytearray(_READ_BYTES))
    with path.open("rb", buffering=0) as handle:
        while num_read := handle.readinto(buffer):
            sha256.update(buffer[:num_read])
            if wants_git:
                git.update(buffer[:num_read])
    found = {"sha256": sha256.hexdigest(), "git": git.hexdigest()}
    for checksum in checksums:
        if found[checksum.kind] != checksum.value:
            return found["sha256"], (
                f"its {checksum.kind} checksum is {found[checksum.kind][:16]}..., not {checksum.value[:16]}..."
            )
    return found["sha256"], None


@contextmanager
def store_errors(key: str, what: str) -> Iterator[None]:
    """Turn what the store's library says about `what` into errors of our tree that begin with `key`.

    Raises:
        ConfigError: it is not there, we may not read it, or it is another version by now.
        Unavailable: the store cannot be reached or is overloaded.
    """
    try:
        yield
    except FileNotFoundError as exc:
        raise ConfigError(f"{key}: there is no {what}") from exc
    except (exceptions.UnauthenticatedError, exceptions.PermissionDeniedError) as exc:
        raise ConfigError(
            f"{key}: {what} may not be read with the credentials here ({_reason(exc)})"
        ) from exc
    except exceptions.PreconditionError as exc:
        raise ConfigError(f"{key}: {what} was changed while it was fetched; fetch it again") from exc
    except exceptions.NotSupportedError as exc:
        raise ConfigError(f"{key}: the server of {what} serves no parts of files") from exc
    except exceptions.GenericError as exc:
        raise _generic(key, what, exc) from exc
    except (exceptions.BaseError, ValueError) as exc:
        raise ConfigError(f"{key}: {what}: {_reason(exc)}") from exc


def _generic(key: str, what: str, exc: Exception) -> MantaError:
    reason = _reason(exc)
    if "status code: 404" in reason:
        return ConfigError(f"{key}: there is no {what}")
    if re.search(r"status code: (?!429)4\d\d", reason):
        return ConfigError(f"{key}: the server refuses {what}: {reason}")
    return Unavailable(f"{key}: {what} cannot be fetched at the moment: {reason}")


def _reason(exc: Exception) -> str:
    """The library's first line, without the requests that it repeats and the bodies of answers."""
    first = str(exc).splitlines()[0] if str(exc) else type(exc).__name__
    status = re.search(r"status code: \d{3} [A-Za-z ]+", first)
    if status:
        return f"server returned {status[0].strip()}"
    return re.sub(r"^Generic \w+ error: |Error performing |, after \d+ retries.*?(?= - )", "", first)[:200]
