"""Whether a folder holds a whole model, as far as its files say themselves. Reads headers, never weights.

A user's own copy may have been broken off, or hold the pointers of a clone without Git LFS: both would
otherwise fail deep inside an engine, minutes after the start.
"""

from __future__ import annotations

import json
from pathlib import Path

from serve_app.errors import ConfigError

# One of these says what the folder is: a model, one in Mistral's form, or an adapter.
_CONFIGS = ("config.json", "params.json", "adapter_config.json")
_POINTER = b"version https://git-lfs"
_MAX_HEADER_BYTES = 100_000_000  # as safetensors' own reader


def check_model_folder(folder: Path, key: str) -> None:
    """Refuse a folder that cannot be a whole model, naming `key`, the file and what is wrong with it.

    Raises:
        ConfigError: it is no folder, has no config.json, or has weights that are not whole.
    """
    if not folder.is_dir():
        raise ConfigError(
            f"{key}: {folder} is no folder" if folder.exists() else f"{key}: there is no {folder}"
        )
    if not any((folder / name).is_file() for name in _CONFIGS):
        raise ConfigError(f"{key}: {folder} holds no model: it has no config.json")
    try:
        for path in sorted(folder.glob("*.safetensors")):
            fault = _fault(path)
            if fault is not None:
                raise ConfigError(f"{key}: {path} {fault}")
        for index in sorted(folder.glob("*.safetensors.index.json")):
            _check_index(index, key)
    except OSError as exc:
        raise ConfigError(f"{key}: {folder} cannot be read: {exc.strerror or exc}") from exc


def _fault(path: Path) -> str | None:
    """What is wrong with a safetensors file: 8 bytes length, a JSON header, then values up to the last offset."""
    size = path.stat().st_size
    with path.open("rb") as handle:
        begin = handle.read(len(_POINTER))
        if begin == _POINTER:
            return "is a Git LFS pointer and not the weights; fetch them with: git lfs pull"
        num_header = int.from_bytes(begin[:8], "little")
        if size < 8 or num_header > _MAX_HEADER_BYTES:
            return "is no safetensors file"
        handle.seek(8)
        content = handle.read(num_header)
    if len(content) < num_header:
        return f"is not whole: {size} bytes of at least {8 + num_header}"
    try:
        header = json.loads(content)
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        expected = 8 + num_header + max(ends, default=0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return "is no safetensors file"
    return None if size == expected else f"is not whole: {size} bytes of {expected}"


def _check_index(index: Path, key: str) -> None:
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, KeyError, AttributeError) as exc:
        raise ConfigError(f"{key}: {index} lists no weights") from exc
    for name in sorted(names):
        if not (index.parent / name).is_file():
            raise ConfigError(
                f"{key}: {index.parent} is not whole: {index.name} lists {name}, which is not there"
            )
