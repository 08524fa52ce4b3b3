"""Where a model's weights come from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Discriminator, Field, StringConstraints, Tag

from configs.schema.base import Name, Strict, Url

Repo = Annotated[str, StringConstraints(pattern=r"^[\w.-]+/[\w.-]+$")]
Revision = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class CatalogueWeights(Strict):
    """A model that Manta knows by name, with its source, checksum and licence (`manta models list`)."""

    catalogue: Name = Field(description="Name in the catalogue.")


class FileWeights(Strict):
    """A file that is already on this machine."""

    path: str = Field(min_length=1, description="Path of a GGUF file; `~` is expanded.")


class HubWeights(Strict):
    """A file of a model hub, pinned."""

    repo: Repo = Field(description="Repository, as `owner/name`.")
    file: str = Field(min_length=1, description="File in the repository.")
    revision: Revision = Field(description="Commit of the repository, 40 hex digits.")
    sha256: Sha256 = Field(description="Checksum of the file; a download that differs is thrown away.")


Weights = CatalogueWeights | FileWeights | HubWeights


class LocalFolder(Strict):
    """A model's folder that is already on this machine: config.json, tokenizer, safetensors."""

    path: str = Field(min_length=1, description="Path of the folder; `~` is expanded.")


class HubFolder(Strict):
    """A model's repository on a hub, pinned. Each file is checked against what the hub states for the commit."""

    repo: Repo = Field(description="Repository, as `owner/name`.")
    revision: Revision = Field(description="Commit of the repository, 40 hex digits.")
    include: tuple[str, ...] = Field(
        default=("*.safetensors", "*.json", "*.txt", "*.model", "*.tiktoken", "*.jinja"),
        min_length=1,
        description="Patterns of files to fetch; `*` matches slashes too. Code (`*.py`) comes only where it is asked "
        "for.",
    )
    exclude: tuple[str, ...] = Field(
        default=("original/*", "metal/*", "onnx/*", "openvino/*", "consolidated*"),
        description="Patterns of files to leave, such as the same weights in another form.",
    )
    checksums: dict[str, Sha256] = Field(
        default={},
        description="File -> its SHA-256, for who does not rely on the hub's word alone; one that differs is thrown "
        "away.",
    )


class StoreFolder(Strict):
    """A model's folder in an object store. A SHA256SUMS file in it (as `sha256sum` writes it) is checked."""

    url: Annotated[str, StringConstraints(pattern=r"^(s3|gs|az)://[^/\s?#]+(/[^\s?#]*)?$")] = Field(
        description="`s3://bucket/folder`; `gs://` and `az://` likewise. Credentials are the machine's: the standard "
        "environment variables, or the role of the pod or instance."
    )
    sha256: Sha256 | None = Field(
        default=None,
        description="Checksum of the folder's SHA256SUMS, which pins all of its files. None: what is there when it is "
        "fetched first is kept.",
    )
    endpoint: Url | None = Field(
        default=None, description="Of a store that speaks S3 and is not AWS's; None: the provider's own."
    )
    region: str | None = Field(
        default=None, min_length=1, description="Of an S3 bucket; None: the environment's, else us-east-1."
    )
    anonymous: bool = Field(default=False, description="Ask without credentials, for public buckets.")


def _kind(given: object) -> str:
    """By the key that only one kind has, so that a fault in a folder names that kind's keys and no other's."""
    keys = ("repo", "url")
    if isinstance(given, Mapping):
        return next((key for key in keys if key in given), "path")
    return next((key for key in keys if hasattr(given, key)), "path")


ModelFolder = Annotated[
    Annotated[LocalFolder, Tag("path")]
    | Annotated[HubFolder, Tag("repo")]
    | Annotated[StoreFolder, Tag("url")],
    Discriminator(_kind),
]
