"""Which fields of an object a field manager has applied, and the object with only those.

The format is Kubernetes' FieldsV1 (structured-merge-diff v4): keys `f:NAME` for fields, `k:{...}` for items of
a list by their keys, `v:VALUE` for items of a set, `i:N` for items by position, and `.` for the thing itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from kuberay.objects import Document, at


def applied_by(document: Mapping[str, Any], manager: str) -> Document | None:
    """What `manager` would have to apply to change nothing; None: it never applied this object.

    With one field changed it can be applied again: the others stay owned, and as they are.
    """
    for entry in at(document, "metadata", "managedFields") or ():
        if (
            entry.get("manager") == manager
            and entry.get("operation") == "Apply"
            and not entry.get("subresource")
        ):
            owned: Document = _part(document, entry.get("fieldsV1") or {})
            metadata = {
                key: document["metadata"][key] for key in ("name", "namespace") if key in document["metadata"]
            }
            return owned | {
                "apiVersion": entry.get("apiVersion") or document["apiVersion"],
                "kind": document["kind"],
                "metadata": owned.get("metadata", {}) | metadata,
            }
    return None


def _part(value: Any, fields: Mapping[str, Any]) -> Any:
    """`value` with only what `fields` names; the whole of it where they name nothing below it."""
    below = {key: inner for key, inner in fields.items() if key != "."}
    if not below:
        return value
    if isinstance(value, Mapping):
        return {
            key[2:]: _part(value[key[2:]], inner)
            for key, inner in below.items()
            if key.startswith("f:") and key[2:] in value
        }
    if isinstance(value, list):
        return [
            _part(item, inner)
            for position, item in enumerate(value)
            if (inner := _chosen(item, position, below)) is not None
        ]
    return value


def _chosen(item: Any, position: int, fields: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What `fields` say of an item of a list; None: it is not theirs."""
    for key, inner in fields.items():
        kind, _, text = key.partition(":")
        if kind == "i" and int(text) == position:
            return _mapping(inner)
        if kind == "v" and json.loads(text) == item:
            return _mapping(inner)
        if kind == "k" and isinstance(item, Mapping):
            keys = json.loads(text)
            # A key that the server filled in by default need not be in the item.
            if all(item.get(name, wanted) == wanted for name, wanted in keys.items()):
                return _mapping(inner)
    return None


def _mapping(inner: Any) -> Mapping[str, Any]:
    return inner if isinstance(inner, Mapping) else {}
