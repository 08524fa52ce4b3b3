"""Bodies of the knowledge base's API. It is our own, so unknown fields are errors."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from serve_app.errors import BadRequest
from serve_app.messages import DocumentInput, SearchMode, SearchQuery

Source = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Path = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
State = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{64}|[a-z]{1,16}:[^\x00-\x1f]{1,512})?$")]
DocumentId = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class DocumentBody(_Body):
    """A document: its text, or its bytes in base64."""

    path: Path = Field(description="Its name inside the source; the suffix says its format.")
    text: str | None = None
    content_base64: str | None = Field(default=None, description="For formats that are no text, such as PDF.")
    media_type: Annotated[str, StringConstraints(max_length=128)] | None = Field(
        default=None, description="Where the path's suffix does not say it."
    )
    metadata: dict[str, str] = Field(
        default={}, description="Kept with every passage; searches can filter by it."
    )
    version: Annotated[str, StringConstraints(max_length=600)] = Field(
        default="", description="What its source calls this state of it, to be compared by the next plan."
    )

    def document(self, field: str) -> DocumentInput:
        """The document, decoded.

        Raises:
            BadRequest: `field` has no content, or two, or no base64.
        """
        if (self.text is None) == (self.content_base64 is None):
            raise BadRequest(f"{field} ({self.path}): give either text or content_base64", field)
        return DocumentInput(self.path, self._content(field), self.media_type, self.metadata, self.version)

    def _content(self, field: str) -> bytes:
        if self.content_base64 is None:
            return (self.text or "").encode()
        try:
            return base64.b64decode(self.content_base64, validate=True)
        except (binascii.Error, ValueError) as exc:  # ValueError: characters outside ASCII
            name = f"{field}.content_base64"
            raise BadRequest(f"{name} ({self.path}) is not base64: {exc}", name) from exc


class PutBody(_Body):
    """POST /v1/knowledge/documents."""

    source: Source = Field(description="The collection that the documents belong to.")
    documents: Annotated[list[DocumentBody], Field(min_length=1, max_length=10_000)]

    def inputs(self) -> list[DocumentInput]:
        """The documents, decoded.

        Raises:
            BadRequest: one cannot be, or a path is given twice; it is named.
        """
        seen: set[str] = set()
        inputs = []
        for index, body in enumerate(self.documents):
            if body.path in seen:
                raise BadRequest(
                    f"documents.{index}.path: {body.path} is given twice", f"documents.{index}.path"
                )
            seen.add(body.path)
            inputs.append(body.document(f"documents.{index}"))
        return inputs


class PlanBody(_Body):
    """POST /v1/knowledge/sync/plan."""

    source: Source
    documents: dict[Path, State] = Field(
        description="Every path of the source, with its bytes' SHA-256, or its version as the source calls it "
        "(`etag:...`), or an empty text where neither is known yet."
    )


class DeleteBody(_Body):
    """POST /v1/knowledge/documents/delete."""

    ids: Annotated[list[DocumentId], Field(min_length=1, max_length=10_000)]


class FailureBody(_Body):
    """POST /v1/knowledge/sync/failure."""

    source: Source
    reason: Annotated[str, StringConstraints(min_length=1, max_length=2000)]


class StartBody(_Body):
    """POST /v1/knowledge/sync/start."""

    source: Source


class RebuildBody(_Body):
    """POST /v1/knowledge/rebuild."""

    reindex: bool = Field(
        default=True,
        description="Make the index anew too, once every document has the present model's vectors.",
    )


class LegWeights(_Body):
    """How much each leg's ranks count in the fusion."""

    lexical: Annotated[float, Field(ge=0, le=100)] = 1.0
    dense: Annotated[float, Field(ge=0, le=100)] = 1.0


class SearchBody(_Body):
    """POST /v1/knowledge/search."""

    query: Annotated[str, StringConstraints(min_length=1, max_length=20_000)]
    k: Annotated[int, Field(ge=1, le=1000)] = Field(default=6, description="Passages wanted.")
    mode: Literal["hybrid", "lexical", "dense"] = "hybrid"
    filters: dict[str, str | list[str] | dict[str, bool | int | float | str]] = Field(
        default={},
        description="Field -> value it must equal, list of values of which it must be one, a range "
        '({"gte": 2020}, {"lt": "2026-01-01"}), or {"exists": true}.',
    )
    weights: LegWeights = Field(default=LegWeights(), description="Of the legs of a hybrid search.")
    rerank: bool | None = Field(
        default=None, description="Let the reranker order the best passages; null: as configured."
    )
    explain: bool = Field(
        default=False,
        description="Tell each leg's rank of every passage, and the milliseconds of each stage.",
    )
    join: bool = Field(
        default=False, description="Give passages that follow each other in a document as one, for a prompt."
    )

    def search_query(self) -> SearchQuery:
        return SearchQuery(
            text=self.query,
            k=self.k,
            mode=SearchMode(self.mode),
            filters=self.filters,
            lexical_weight=self.weights.lexical,
            dense_weight=self.weights.dense,
            rerank=self.rerank,
            explain=self.explain,
            joins=self.join,
        )
