"""Which engine an embedding model runs on on this machine: measured once, kept beside the weights.

    home/models/all-minilm-l6-v2.2-threads.json

A choice is of a CPU, a number of threads and the engines' versions; when one of them changes it is out of date.
Knows nothing of engines: who measures is `engines.embedding.fastest`.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from configs.schema import CatalogueWeights
from serve_app.model_cache.locking import disk_errors, publish

EngineName = Literal["llamacpp", "onnx"]

# Below it rankings begin to change; the types that are tried are far above it.
MIN_COSINE = 0.9999
_LIBRARIES = ("llama-cpp-python", "onnxruntime")
_WAY = "2"  # raised when a change of ours makes an engine faster; 2: steps side by side


@dataclass(frozen=True, slots=True)
class Measured:
    """One engine on this machine."""

    engine: EngineName
    weight_type: str
    short_tokens_per_s: float  # of texts like a query
    long_tokens_per_s: float  # of texts like an abstract
    min_cosine: float  # to the vectors in F32, over texts of all kinds

    @property
    def tokens_per_s(self) -> float:
        """The mean of both, geometric: neither kind of text counts more because it is faster."""
        return float((self.short_tokens_per_s * self.long_tokens_per_s) ** 0.5)


@dataclass(frozen=True, slots=True)
class Choice:
    """What was measured, where, and what follows."""

    model: str
    num_threads: int
    cpu: str
    versions: Mapping[str, str]
    measured: tuple[Measured, ...]

    @property
    def best(self) -> Measured:
        """The fastest one that keeps the quality."""
        good = [one for one in self.measured if one.min_cosine >= MIN_COSINE]
        return max(good, key=lambda one: one.tokens_per_s)

    @property
    def is_current(self) -> bool:
        """Whether it was measured on this CPU, with these libraries, run as they are now."""
        return self.cpu == cpu_name() and dict(self.versions) == versions()

    def reason(self) -> str:
        """In words, for people."""
        each = ", ".join(
            f"{one.engine} {one.weight_type} {one.short_tokens_per_s:,.0f}/{one.long_tokens_per_s:,.0f}"
            for one in self.measured
        )
        return f"tokens/s of short/long texts with {self.num_threads} threads: {each}"


def choice_path(weights: CatalogueWeights, home: Path, num_threads: int) -> Path:
    """Where it is kept."""
    return home / "models" / f"{weights.catalogue}.{num_threads}-threads.json"


def read_choice(path: Path) -> Choice | None:
    """The choice; None if there is none, or none that can be read: measuring again is cheap."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        measured = tuple(Measured(**one) for one in document.pop("measured"))
        choice = Choice(**document, measured=measured)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return choice if any(one.min_cosine >= MIN_COSINE for one in measured) else None


def read_choices(home: Path, model: str) -> Sequence[Choice]:
    """All choices of a model, by number of threads."""
    paths = (home / "models").glob(f"{model}.*-threads.json")
    found = [choice for choice in map(read_choice, paths) if choice is not None]
    return sorted(found, key=lambda choice: choice.num_threads)


def write_choice(choice: Choice, path: Path) -> None:
    """Keep it.

    Raises:
        StorageFull, ConfigError: the disk refuses.
    """
    part = path.with_name(path.name + ".part")
    with disk_errors(path):
        part.write_text(json.dumps(asdict(choice), indent=1) + "\n", encoding="utf-8")
        publish(part, path)


def versions() -> dict[str, str]:
    """Of the engines' libraries that are installed, and of how we run them."""
    found = {"way": _WAY}
    for name in _LIBRARIES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def cpu_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """What the system calls the CPU. Arm's Linux gives no name, but numbers of maker and part."""
    try:
        text = cpuinfo.read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    lines = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    facts = {key.strip(): value.strip() for key, _, value in lines}
    if "model name" in facts:
        return facts["model name"]
    numbers = [facts[key] for key in ("CPU implementer", "CPU part") if key in facts]
    return " ".join([platform.machine(), *numbers])
