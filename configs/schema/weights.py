"""Where a model's weights come from."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from configs.schema.base import Name, Strict


class CatalogueWeights(Strict):
    """A model that Manta knows by name, with its source, checksum and licence (`manta models list`)."""

    catalogue: Name = Field(description="Name in the catalogue.")


class FileWeights(Strict):
    """A file that is already on this machine."""

    path: str = Field(min_length=1, description="Path of a GGUF file; `~` is expanded.")


class HubWeights(Strict):
    """A file of a model hub, pinned."""

    repo: Annotated[str, StringConstraints(pattern=r"^[\w.-]+/[\w.-]+$")] = Field(
        description="Repository, as `owner/name`."
    )
    file: str = Field(min_length=1, description="File in the repository.")
    revision: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")] = Field(
        description="Commit of the repository, 40 hex digits."
    )
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] = Field(
        description="Checksum of the file; a download that differs is thrown away."
    )


Weights = CatalogueWeights | FileWeights | HubWeights
