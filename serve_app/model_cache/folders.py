"""Whole model folders on this machine: config, tokenizer and safetensors, from a hub or an object store.

    home/models/OWNER--NAME/REVISION-CHOICE/       from a hub
    home/models/s3--BUCKET/FOLDER-IDENTITY/        from an object store
        .manta.json                                source, and each file's size and SHA-256
    home/models/OWNER--NAME/REVISION-CHOICE.part/  on its way; resumed by the next attempt

A folder has its name only when all of it is whole and checked. One process of a machine fetches it (flock); the
others wait, and find it. `cache` calls this; engines call `cache`.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path

from configs import load
from configs.schema import HubFolder, LocalFolder, ModelFolder, StoreFolder
from serve_app.errors import ConfigError, StorageFull
from serve_app.model_cache.download import Progress
from serve_app.model_cache.folder_check import check_model_folder
from serve_app.model_cache.locking import disk_errors, publish, writer_of

_FACTS = ".manta.json"


def locate_folder(weights: ModelFolder, home: Path, key: str = "weights") -> Path | None:
    """The folder if it is on this machine, else None. Touches no network.

    Raises:
        ConfigError: it is there and broken (it names the file and what repairs it), or a LocalFolder's is not there.
    """
    if isinstance(weights, LocalFolder):
        path = Path(weights.path).expanduser()
        check_model_folder(path, f"{key}.path")
        return path
    path = _path(weights, home)
    if not path.exists():
        return None
    try:
        files = dict(json.loads((path / _FACTS).read_text(encoding="utf-8"))["files"])
        for name, facts in files.items():
            size = (path / name).stat().st_size
            if size != facts["num_bytes"]:
                raise _broken(key, path, f"{name} has {size} bytes instead of {facts['num_bytes']}")
    except OSError as exc:
        raise _broken(key, path, f"{Path(str(exc.filename)).name}: {exc.strerror}") from exc
    except (ValueError, KeyError, TypeError) as exc:
        raise _broken(key, path, f"{_FACTS} cannot be read") from exc
    return path


def ensure_folder(
    weights: ModelFolder,
    home: Path,
    progress: Progress | None = None,
    *,
    key: str = "weights",
    force: bool = False,
) -> Path:
    """The folder, fetched if it is not here. Slow; call it off the event loop.

    Args:
        weights: which.
        home: where weights are kept, under `models`.
        progress: told (bytes done, bytes in all) while a download runs, from its threads.
        key: of the configuration that says `weights`, which errors begin with: `models.NAME.weights`.
        force: fetch again what is here; the old folder stays until the new one is checked.

    Raises:
        ConfigError: as `locate_folder`; or the source has no such thing, or gives something else than was pinned.
        Unavailable: the source cannot be reached; what came so far is kept, and resumed by the next call.
        StorageFull: the disk has no room; nothing of the new folder is left behind.
    """
    if isinstance(weights, LocalFolder):
        found = locate_folder(weights, home, key)
        assert found is not None  # or it would have raised
        return found
    path = _path(weights, home)
    if force or locate_folder(weights, home, key) is None:
        with writer_of(path):
            # Another process may have fetched it while we waited.
            if force or locate_folder(weights, home, key) is None:
                _fetch(weights, path, progress, key)
    return path


def folder_words(weights: HubFolder | StoreFolder) -> str:
    """What the folder is called in messages."""
    return weights.repo if isinstance(weights, HubFolder) else weights.url


def _fetch(weights: HubFolder | StoreFolder, path: Path, progress: Progress | None, key: str) -> None:
    # Only who fetches loads the object store's library.
    from serve_app.model_cache import hub_folder, ranges, store_folder

    if isinstance(weights, HubFolder):
        remote = hub_folder.open_hub(weights, load.hub(), key)
    else:
        remote = store_folder.open_store(weights, key)
    part = path.with_name(path.name + ".part")
    try:
        sums = ranges.fetch(remote, part, progress)
        check_model_folder(part, remote.key)
        facts = {file.path: {"num_bytes": file.num_bytes, "sha256": sums[file.path]} for file in remote.files}
        with disk_errors(part):
            unfinished = part / f"{_FACTS}.part"
            unfinished.write_text(
                json.dumps({"source": remote.source, "files": facts}, indent=1) + "\n", encoding="utf-8"
            )
            publish(unfinished, part / _FACTS)
            _replace(part, path)
    except StorageFull:
        # A full disk hurts everything else on the machine more than a second download does.
        shutil.rmtree(part, ignore_errors=True)
        raise


def _replace(part: Path, path: Path) -> None:
    """Give the folder its name; an older one of that name, which a replica may have open, goes after."""
    if path.exists():
        old = path.with_name(path.name + ".old")
        shutil.rmtree(old, ignore_errors=True)
        path.rename(old)
        part.rename(path)
        shutil.rmtree(old, ignore_errors=True)
    else:
        part.rename(path)


def _path(weights: HubFolder | StoreFolder, home: Path) -> Path:
    """Different where what is asked for differs: the version, the choice of files, or what pins them."""
    if isinstance(weights, HubFolder):
        chosen = [sorted(weights.include), sorted(weights.exclude), sorted(weights.checksums.items())]
        name = f"{weights.revision[:12]}-{_short_hash(chosen)}"
        return home / "models" / weights.repo.replace("/", "--") / name
    scheme, _, rest = weights.url.rstrip("/").partition("://")
    bucket, _, folder = rest.partition("/")
    identity = _short_hash([weights.url.rstrip("/"), weights.endpoint, weights.sha256])
    words = re.sub(r"[^\w.-]+", "-", folder.rpartition("/")[2]) or "all"
    return home / "models" / f"{scheme}--{bucket}" / f"{words}-{identity}"


def _short_hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:8]


def _broken(key: str, path: Path, fault: str) -> ConfigError:
    return ConfigError(
        f"{key}: {path} is broken: {fault}; repair it with: manta models pull MODEL --profile PROFILE --force"
    )
