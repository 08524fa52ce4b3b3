"""Kubernetes objects as plain documents, and how they are named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Document = dict[str, Any]
RAY = "ray.io/v1"


@dataclass(frozen=True, slots=True, order=True)
class Ref:
    """Which object. `namespace` is empty for what belongs to the whole cluster."""

    api_version: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        place = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind} {place}"

    @property
    def group(self) -> str:
        """The API group; empty for the core's."""
        return self.api_version.rpartition("/")[0]


def ref_of(document: Mapping[str, Any]) -> Ref:
    """The name of an object.

    Raises:
        KeyError: it has none, or no kind.
    """
    metadata = document["metadata"]
    return Ref(
        str(document["apiVersion"]), str(document["kind"]), metadata.get("namespace", ""), metadata["name"]
    )


def at(document: Mapping[str, Any], *path: str) -> Any:
    """The value at a path of keys; None where one of them is missing or null."""
    value: Any = document
    for key in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def content(document: Mapping[str, Any]) -> Document:
    """What an object is, without its status, which operators write at any time, and without who wrote what when."""
    written = ("managedFields", "resourceVersion", "generation")
    metadata = {key: value for key, value in document.get("metadata", {}).items() if key not in written}
    return {key: value for key, value in document.items() if key != "status"} | {"metadata": metadata}


def condition(document: Mapping[str, Any], kind: str) -> Mapping[str, Any] | None:
    """A condition of the object's status; None: it has none of that type."""
    for one in at(document, "status", "conditions") or ():
        if one.get("type") == kind:
            found: Mapping[str, Any] = one
            return found
    return None


def is_true(found: Mapping[str, Any] | None) -> bool:
    """Whether a condition is there and says True."""
    return found is not None and found.get("status") == "True"
