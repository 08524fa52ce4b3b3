"""Weights on this machine: where they are, and how they come here. Whole model folders are `folders`' part.

    home/models/all-minilm-l6-v2.bf16.gguf        converted here, in the type that this CPU multiplies
    home/models/all-minilm-l6-v2.onnx             the same for ONNX Runtime, where that is wanted
    home/models/OWNER--NAME/REVISION/FILE.gguf    fetched from a hub
    (each with FILE.gguf.json beside it: source, checksum and size, for people and for `locate`)

`locate` looks and never fetches; `ensure` fetches what is missing, once for all processes of a
machine. A file is under its name only when it is whole and checked.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

import httpx

from configs import load
from configs.schema import (
    CatalogueWeights,
    FileWeights,
    HubFolder,
    HubWeights,
    LocalFolder,
    ModelFolder,
    StoreFolder,
    Weights,
)
from serve_app.errors import ConfigError
from serve_app.model_cache import pypi
from serve_app.model_cache.catalogue import CATALOGUE, CatalogueEntry, HubSource, Kind, PackageSource
from serve_app.model_cache.download import Progress, download, sha256_of
from serve_app.model_cache.folder_check import check_model_folder
from serve_app.model_cache.folders import ensure_folder, folder_words, locate_folder
from serve_app.model_cache.locking import disk_errors, publish, writer_of
from serve_app.model_cache.weight_type import native_weight_type

if TYPE_CHECKING:
    from serve_app.model_cache.convert import SentenceEncoder

_MAGIC = b"GGUF"

Write = Callable[["SentenceEncoder", Path], None]


@dataclass(frozen=True, slots=True)
class CachedModel:
    """A model of the catalogue, and whether it is here: one line of `manta models list`."""

    name: str
    kind: Kind
    licence: str
    description: str
    num_bytes: int | None  # to download
    path: Path | None  # None: not here, or broken
    problem: str | None  # why what is here cannot be used


def locate(weights: Weights | ModelFolder, home: Path, key: str = "weights") -> Path | None:
    """The GGUF file, or the model's folder, if it is on this machine, else None. Touches no network.

    Raises:
        ConfigError: it is broken (it names the file and what repairs it), a path of the user's own is
            not there, or the catalogue has no such name.
    """
    if isinstance(weights, (LocalFolder, HubFolder, StoreFolder)):
        return locate_folder(weights, home, key)
    if isinstance(weights, FileWeights):
        path = Path(weights.path).expanduser()
        check_gguf(path, None, "give the path of a GGUF file")
        return path
    path = _path(weights, home)
    if not path.exists():
        return None
    check_gguf(path, _expected_bytes(weights, path), f"repair it with: {pull_command(weights)} --force")
    return path


def ensure(
    weights: Weights | ModelFolder,
    home: Path,
    progress: Progress | None = None,
    *,
    key: str = "weights",
    force: bool = False,
    transport: httpx.BaseTransport | None = None,
) -> Path:
    """The GGUF file or the folder, fetched (and converted) if it is not here. Slow; call it off the event loop.

    Args:
        weights: which.
        home: where weights are kept, under `models`.
        progress: told (bytes done, bytes in all) while a download runs.
        key: of the configuration that says `weights`, which errors about folders begin with.
        force: fetch again what is here; what is old stays until the new is checked.
        transport: instead of the network, for GGUF files.

    Raises:
        ConfigError: as `locate`; or the source does not give what was pinned.
        Unavailable: the source cannot be reached.
        StorageFull: the disk has no room; what was there before is intact.
    """
    if isinstance(weights, (LocalFolder, HubFolder, StoreFolder)):
        return ensure_folder(weights, home, progress, key=key, force=force)
    found = None if force and not isinstance(weights, FileWeights) else locate(weights, home)
    if found is not None:
        return found
    assert not isinstance(weights, FileWeights)
    path = _path(weights, home)
    source = _source(weights)
    if isinstance(source, PackageSource):
        _convert(source, {path: _gguf_writer(_entry(weights).name, source)}, progress, force=force)
    else:
        with writer_of(path):
            if force or not path.exists():  # another process may have fetched it while we waited
                download(source, path, load.hub(), progress, transport)
                _describe(path, source.sha256, f"{source.repo}@{source.revision}/{source.file}")
    check_gguf(path, None, f"{words(weights)} names no GGUF file")
    return path


@dataclass(frozen=True, slots=True)
class EncoderFiles:
    """An embedding model in both forms: the vocabulary and the weights for llama.cpp, the graph for ONNX Runtime."""

    gguf: Path
    onnx: Path


def has_onnx(weights: Weights) -> TypeGuard[CatalogueWeights]:
    """Whether the model can be had for ONNX Runtime: it is made from original weights, never from a GGUF file."""
    return isinstance(weights, CatalogueWeights) and isinstance(_source(weights), PackageSource)


def locate_encoder(weights: CatalogueWeights, home: Path) -> EncoderFiles | None:
    """Both forms if they are on this machine, else None; as `locate`."""
    gguf, onnx = locate(weights, home), _onnx_path(weights, home)
    if gguf is None or not onnx.exists():
        return None
    num_bytes, noted = onnx.stat().st_size, _noted_bytes(onnx)
    if num_bytes != noted:
        raise ConfigError(
            f"{onnx}: is broken: {num_bytes} bytes instead of {noted}; "
            "delete it, and the next start makes it anew"
        )
    return EncoderFiles(gguf, onnx)


def ensure_encoder(
    weights: CatalogueWeights, home: Path, progress: Progress | None = None, *, force: bool = False
) -> EncoderFiles:
    """Both forms, fetched once and converted if one of them is not here; as `ensure`.

    Raises:
        ConfigError: as `ensure`; or there are no original weights to make the second form of.
    """
    found = None if force else locate_encoder(weights, home)
    if found is not None:
        return found
    files = EncoderFiles(_path(weights, home), _onnx_path(weights, home))
    source, name = _source(weights), weights.catalogue
    assert isinstance(source, PackageSource)  # _onnx_path refused the others
    writers = {files.gguf: _gguf_writer(name, source), files.onnx: _onnx_writer(name, source)}
    _convert(source, writers, progress, force=force)
    return files


def describe(home: Path) -> Sequence[CachedModel]:
    """The catalogue with the state of this machine."""
    return [_state(entry, home) for entry in CATALOGUE.values()]


def why_missing(weights: Weights | ModelFolder, home: Path) -> str | None:
    """Why a model cannot be loaded here and now, with what to do about it; None if its file or folder is here.

    Raises:
        ConfigError: there is one, and it is broken.
    """
    if isinstance(weights, LocalFolder):
        folder = Path(weights.path).expanduser()
        if not folder.exists():
            return f"there is no folder {folder}"
        check_model_folder(folder, "weights.path")
        return None
    if isinstance(weights, FileWeights):
        path = Path(weights.path).expanduser()
        return None if path.exists() else f"there is no file {path}"
    if locate(weights, home) is not None:
        return None
    return f"its weights are not on this machine; run: {pull_command(weights)}"


def pull_command(weights: CatalogueWeights | HubWeights | HubFolder | StoreFolder) -> str:
    """What a person types to fetch the weights; what is not in the catalogue has no name but its profile's."""
    if isinstance(weights, CatalogueWeights):
        return f"manta models pull {weights.catalogue}"
    return "manta models pull MODEL --profile PROFILE"


def words(weights: CatalogueWeights | HubWeights | HubFolder | StoreFolder) -> str:
    """What the weights are called in messages."""
    if isinstance(weights, (HubFolder, StoreFolder)):
        return folder_words(weights)
    return weights.catalogue if isinstance(weights, CatalogueWeights) else f"{weights.repo}/{weights.file}"


def check_gguf(path: Path, num_bytes: int | None, advice: str) -> None:
    """Refuse a file that cannot be a whole GGUF file, by name and with the advice.

    Raises:
        ConfigError: it is not there, cannot be read, or is not what it should be.
    """
    try:
        with path.open("rb") as handle:
            magic = handle.read(len(_MAGIC))
        size = path.stat().st_size
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read ({exc.strerror}); {advice}") from exc
    if magic != _MAGIC:
        raise ConfigError(f"{path}: is not a GGUF file; {advice}")
    if num_bytes is not None and size != num_bytes:
        raise ConfigError(f"{path}: is broken: {size} bytes instead of {num_bytes}; {advice}")


def _convert(
    source: PackageSource, writers: Mapping[Path, Write], progress: Progress | None, *, force: bool
) -> None:
    """Fetch the package once and write the files that are missing, or with `force` all of them."""
    # Imports the gguf library, which is needed once in a machine's life.
    from serve_app.model_cache import convert

    with ExitStack() as locks:
        for path in writers:
            locks.enter_context(writer_of(path))
        # Another process may have written some while we waited.
        wanted = {path: write for path, write in writers.items() if force or not path.exists()}
        if not wanted:
            return
        if progress:
            progress(0, source.num_bytes)
        folder = next(iter(wanted))
        with pypi.wheel(source, folder.with_name(f".{folder.name}.wheel")) as wheel:
            if progress:
                progress(source.num_bytes, source.num_bytes)
            encoder = convert.read_encoder(wheel, source.folder)
            for path, write in wanted.items():
                _write(encoder, path, write, source)


def _write(encoder: SentenceEncoder, path: Path, write: Write, source: PackageSource) -> None:
    part = path.with_name(path.name + ".part")
    try:
        with disk_errors(path):
            write(encoder, part)
            digest = sha256_of(part)
            publish(part, path)
    finally:
        part.unlink(missing_ok=True)
    _describe(path, digest, f"{source.project}=={source.version} (wheel sha256:{source.sha256})")


def _gguf_writer(name: str, source: PackageSource) -> Write:
    def write(encoder: SentenceEncoder, path: Path) -> None:
        from serve_app.model_cache import convert

        convert.write_gguf(encoder, path, native_weight_type(), name, source.sha256)

    return write


def _onnx_writer(name: str, source: PackageSource) -> Write:
    def write(encoder: SentenceEncoder, path: Path) -> None:
        from serve_app.model_cache import onnx_graph

        onnx_graph.write_onnx(encoder, path, name, source.sha256)

    return write


def _describe(path: Path, sha256: str, source: str) -> None:
    facts = {"source": source, "sha256": sha256, "num_bytes": path.stat().st_size}
    with disk_errors(path):
        part = path.with_name(path.name + ".json.part")
        part.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        publish(part, _facts_path(path))


def _facts_path(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _expected_bytes(weights: CatalogueWeights | HubWeights, path: Path) -> int | None:
    """From the pin, else from what was noted when the file was made; None for a file put there by hand."""
    source = _source(weights)
    if isinstance(source, HubSource) and source.num_bytes is not None:
        return source.num_bytes
    return _noted_bytes(path)


def _noted_bytes(path: Path) -> int | None:
    try:
        noted = json.loads(_facts_path(path).read_text(encoding="utf-8"))["num_bytes"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return noted if isinstance(noted, int) else None


def _entry(weights: CatalogueWeights | HubWeights) -> CatalogueEntry:
    name = weights.catalogue if isinstance(weights, CatalogueWeights) else ""
    entry = CATALOGUE.get(name)
    if entry is None:
        raise ConfigError(f"no model {name!r} in the catalogue; it has: {', '.join(CATALOGUE)}")
    return entry


def _source(weights: CatalogueWeights | HubWeights) -> HubSource | PackageSource:
    if isinstance(weights, HubWeights):
        return HubSource(weights.repo, weights.file, weights.revision, weights.sha256)
    return _entry(weights).source


def _path(weights: CatalogueWeights | HubWeights, home: Path) -> Path:
    source = _source(weights)
    if isinstance(source, PackageSource):
        return home / "models" / f"{_entry(weights).name}.{native_weight_type()}.gguf"
    if Path(source.file).is_absolute() or ".." in Path(source.file).parts:
        raise ConfigError(f"weights.file {source.file!r} leaves the repository")
    return home / "models" / source.repo.replace("/", "--") / source.revision[:12] / source.file


def _onnx_path(weights: CatalogueWeights, home: Path) -> Path:
    if not has_onnx(weights):
        raise ConfigError(
            f"{weights.catalogue} cannot be had for ONNX Runtime: only models that come as original weights can"
        )
    return home / "models" / f"{weights.catalogue}.onnx"


def _state(entry: CatalogueEntry, home: Path) -> CachedModel:
    path, problem = None, None
    try:
        path = locate(CatalogueWeights(catalogue=entry.name), home)
    except ConfigError as exc:
        problem = exc.message
    return CachedModel(
        entry.name, entry.kind, entry.licence, entry.description, entry.num_bytes, path, problem
    )
