"""Whether an adapter fits its base model, from the names and shapes that their files state. Pure but for reading those.

vLLM finds some misfits while it serves, when its engine is beyond repair. What cannot be compared is left to it:
weights that are packed, and models whose files name their parts otherwise than adapters do.

Formats: PEFT's adapter_config.json and adapter_model.safetensors; https://github.com/huggingface/safetensors#format
(2026-11).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.load import manta_folder
from serve_app.errors import BadRequest

_FIELD = "lora_path"
_PART = re.compile(r"^base_model\.model\.(?P<module>.+)\.lora_(?P<half>[AB])\.weight$")
_MAX_HEADER_BYTES = 100 * 1024 * 1024  # the format's own limit
# Of matrices that are stored as they are multiplied; integers are several weights in one.
_PLAIN_TYPES = ("F", "BF")

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class _Part:
    """One matrix of an adapter: lora_A is (rank, inputs), lora_B is (outputs, rank)."""

    module: str
    is_a: bool
    shape: tuple[int, int]

    @property
    def rank(self) -> int:
        return self.shape[0] if self.is_a else self.shape[1]


def adapter_folder(path: str) -> Path:
    """Of an adapter, as whoever loads it names it. A relative path counts from Manta's folder."""
    return manta_folder() / Path(path).expanduser()  # as it is, where it is absolute


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
        parts = list(_parts(shapes(folder / "adapter_model.safetensors")))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as exc:
        raise _misfit(
            name,
            f"{folder} holds no adapter: adapter_config.json and adapter_model.safetensors are needed ({exc})",
        ) from exc
    rank = max([rank, *(part.rank for part in parts)])
    if rank > max_rank:
        raise _misfit(name, f"its rank is {rank}, and lora.max_lora_rank is {max_rank}")
    weights = {
        key: shape for file in sorted(base.glob("*.safetensors")) for key, shape in shapes(file).items()
    }
    modules = {key.rpartition(".")[0] for key in weights}
    if modules.isdisjoint(part.module for part in parts):
        return  # its names are others: vLLM knows which stands for which
    for part in parts:
        if part.module not in modules:
            raise _misfit(name, f"the base model has no {part.module}")
        _check_part(name, part, weights.get(f"{part.module}.weight"))


def shapes(path: Path) -> Shapes:
    """Name -> shape of each tensor in a safetensors file; () of one that is packed. Raises OSError, ValueError,
    KeyError or TypeError.
    """
    with path.open("rb") as file:
        num_bytes = int.from_bytes(file.read(8), "little")
        if num_bytes > _MAX_HEADER_BYTES:
            raise ValueError(f"{path} is no safetensors file")
        header: Any = json.loads(file.read(num_bytes))
    if not isinstance(header, dict):
        raise TypeError(f"{path} is no safetensors file")
    return {
        name: tuple(map(int, entry["shape"])) if str(entry["dtype"]).startswith(_PLAIN_TYPES) else ()
        for name, entry in header.items()
        if name != "__metadata__"
    }


def _parts(found: Shapes) -> Iterator[_Part]:
    """Without embeddings, biases and other kinds of adapters: vLLM says what of those it takes."""
    for name, shape in found.items():
        matched = _PART.match(name)
        if matched is not None and len(shape) == 2:
            yield _Part(matched["module"], matched["half"] == "A", (shape[0], shape[1]))


def _check_part(name: str, part: _Part, base: tuple[int, ...] | None) -> None:
    """`base`: the shape of the model's own matrix, (outputs, inputs); None where it has none that is plain."""
    if base is None or len(base) != 2:
        return
    num_out, num_in = base
    mine, theirs, what = (
        (part.shape[1], num_in, "inputs") if part.is_a else (part.shape[0], num_out, "outputs")
    )
    if mine != theirs:
        raise _misfit(name, f"{part.module} has {theirs} {what} in the base model, and {mine} in the adapter")


def _misfit(name: str, why: str) -> BadRequest:
    return BadRequest(f"the adapter {name} does not fit: {why}", _FIELD)
