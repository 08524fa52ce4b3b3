"""Whether an adapter fits its base model, from the names and shapes that their files state. Pure but for reading those.

vLLM finds some misfits while it serves, when its engine is beyond repair.

Formats: PEFT's adapter_config.json and adapter_model.safetensors; https://github.com/huggingface/safetensors#format
(2026-11).
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from serve_app.errors import BadRequest

_FIELD = "lora_path"
_PART = re.compile(r"^base_model\.model\.(?P<module>.+)\.lora_(?P<half>[AB])\.weight$")
_MAX_HEADER_BYTES = 100 * 1024 * 1024  # the format's own limit

Shapes = dict[str, tuple[int, ...]]


def require_inside(name: str, path: Path, folder: Path | None) -> None:
    """Return if the adapter's folder is below `folder`, links followed.

    Whoever may load adapters must not thereby read the rest of the machine's files: docs/decisions/0005.

    Raises:
        BadRequest: it is not, or there is no such folder.
    """
    if folder is None:
        raise BadRequest("adapters may be loaded here only from lora.folder, and none is configured", _FIELD)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise BadRequest(f"the adapter {name} must be below lora.folder, {folder}", _FIELD)


def check_adapter(name: str, folder: Path, base: Path, max_rank: int) -> None:
    """Return if the adapter can be a part of the model in `base`.

    Raises:
        BadRequest: it cannot; the message names the adapter and what does not fit.
    """
    try:
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        rank = int(config["r"])
        parts = shapes(folder / "adapter_model.safetensors")
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise _misfit(
            name,
            f"{folder} holds no adapter: adapter_config.json and adapter_model.safetensors are needed ({exc})",
        ) from exc
    if rank > max_rank:
        raise _misfit(name, f"its rank is {rank}, and lora.max_lora_rank is {max_rank}")
    weights = {
        key: shape for file in sorted(base.glob("*.safetensors")) for key, shape in shapes(file).items()
    }
    for part, shape in parts.items():
        _check_part(name, part, shape, weights)


def shapes(path: Path) -> Shapes:
    """Name -> shape of each tensor in a safetensors file. Raises OSError or ValueError."""
    with path.open("rb") as file:
        num_bytes = int.from_bytes(file.read(8), "little")
        if num_bytes > _MAX_HEADER_BYTES:
            raise ValueError(f"{path} is no safetensors file")
        header: dict[str, Any] = json.loads(file.read(num_bytes))
    return {name: tuple(entry["shape"]) for name, entry in header.items() if name != "__metadata__"}


def _check_part(name: str, part: str, shape: tuple[int, ...], weights: Shapes) -> None:
    found = _PART.match(part)
    if found is None or len(shape) != 2:
        return  # embeddings, biases, other kinds of adapters: vLLM says what it takes
    module = found["module"]
    base = weights.get(f"{module}.weight")
    if base is None:
        raise _misfit(name, f"the base model has no {module}")
    num_out, num_in = base
    # lora_A is (rank, inputs), lora_B is (outputs, rank).
    mine, theirs, what = (
        (shape[1], num_in, "inputs") if found["half"] == "A" else (shape[0], num_out, "outputs")
    )
    if mine != theirs:
        raise _misfit(name, f"{module} has {theirs} {what} in the base model, and {mine} in the adapter")


def _misfit(name: str, why: str) -> BadRequest:
    return BadRequest(f"the adapter {name} does not fit: {why}", _FIELD)
