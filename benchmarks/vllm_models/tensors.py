"""Weights as a safetensors file: a header in JSON, and the arrays one after the other.

Format: https://github.com/huggingface/safetensors#format (2026-11).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_ALIGNMENT = 8

Tensors = Mapping[str, NDArray[np.float32]]


def write_tensors(path: Path, tensors: Tensors) -> None:
    """The arrays in float32, under their names."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, tensor in tensors.items():
        header[name] = {"dtype": "F32", "shape": tensor.shape, "data_offsets": [at, at + tensor.nbytes]}
        at += tensor.nbytes
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % _ALIGNMENT)
    with path.open("wb") as file:
        file.write(len(encoded).to_bytes(8, "little") + encoded)
        for tensor in tensors.values():
            file.write(tensor.astype("<f4").tobytes())
