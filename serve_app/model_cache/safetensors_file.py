"""Read tensors of a safetensors file: 8 bytes length, a JSON header, then the raw values.

Format: https://huggingface.co/docs/safetensors (read 2026-11).
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serve_app.errors import ConfigError

_DTYPES: dict[str, type[np.generic]] = {"F32": np.float32, "F16": np.float16, "I64": np.int64}


def read_tensors(content: bytes) -> dict[str, NDArray[Any]]:
    """name -> array, in the order of the file.

    Raises:
        ConfigError: it is no safetensors file, or it has a type that we do not read.
    """
    try:
        start = 8 + int.from_bytes(content[:8], "little")
        header = json.loads(content[8:start])
        header.pop("__metadata__", None)
        return {name: _tensor(content, start, entry) for name, entry in header.items()}
    except (ValueError, KeyError, AttributeError, TypeError) as exc:
        raise ConfigError(f"the weights are no safetensors file that Manta reads: {exc}") from exc


def _tensor(content: bytes, start: int, entry: dict[str, Any]) -> NDArray[Any]:
    begin, end = entry["data_offsets"]
    raw = memoryview(content)[start + begin : start + end]
    return np.frombuffer(raw, dtype=_DTYPES[entry["dtype"]]).reshape(entry["shape"])
