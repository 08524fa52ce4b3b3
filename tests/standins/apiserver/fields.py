"""Server-side apply: who owns which field, what conflicts, what is merged and what is removed.

Paths are tuples; a step is a field's name, or ("k", keys) for an item of a list that has keys. Lists without keys
are one value, as in custom resources that say nothing else of them.
"""

from __future__ import annotations

import copy
import json
from typing import Any

from apiserver.store import Document, stamp

Path = tuple[Any, ...]
# Names of lists whose items are told apart by keys (of Kubernetes' own types, which RayServices embed).
LIST_KEYS: dict[str, tuple[str, ...]] = {
    "conditions": ("type",),
    "containers": ("name",),
    "initContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "ownerReferences": ("uid",),
    "tolerations": (),
}
_NOT_OWNED = {
    ("apiVersion",), ("kind",), ("metadata", "name"), ("metadata", "namespace"), ("metadata", "uid"),
    ("metadata", "resourceVersion"), ("metadata", "generation"), ("metadata", "creationTimestamp"),
    ("metadata", "managedFields"), ("metadata", "deletionTimestamp"),
}  # fmt: skip


def leaves(value: Any, path: Path = ()) -> dict[Path, Any]:
    """Path of each owned field -> its value."""
    if path in _NOT_OWNED:
        return {}
    if isinstance(value, dict) and value:
        return {
            key: one for name, inner in value.items() for key, one in leaves(inner, (*path, name)).items()
        }
    keys = LIST_KEYS.get(path[-1], ()) if path and isinstance(path[-1], str) else ()
    if isinstance(value, list) and value and keys and all(isinstance(one, dict) for one in value):
        found: dict[Path, Any] = {}
        for item in value:
            step = ("k", json.dumps({key: item[key] for key in keys if key in item}, sort_keys=True))
            found |= leaves(item, (*path, step))
        return found
    return {path: value} if path else {}


def read(document: Document, path: Path) -> Any:
    value: Any = document
    for step in path:
        value = _step(value, step)
        if value is None:
            return None
    return value


def write(document: Document, path: Path, value: Any) -> None:
    *way, last = path
    inner: Any = document
    for position, step in enumerate(way):
        found = _step(inner, step)
        if found is None:
            following = path[position + 1]
            found = [] if isinstance(following, tuple) else {}
            if isinstance(step, tuple):
                found = json.loads(step[1])
                inner.append(found)
            else:
                inner[step] = found
        inner = found
    inner[last] = copy.deepcopy(value)


def remove(document: Document, path: Path) -> None:
    parent = read(document, path[:-1])
    if isinstance(parent, dict):
        parent.pop(path[-1], None)
    # Items that nobody keeps go with their last field.
    for end in range(len(path) - 1, 0, -1):
        holder, step = read(document, path[: end - 1]), path[end - 1]
        inner = _step(holder, step)
        if isinstance(step, tuple) and isinstance(inner, dict) and inner == json.loads(step[1]):
            holder.remove(inner)
        elif isinstance(step, str) and inner in ({}, []) and isinstance(holder, dict):
            holder.pop(step, None)


def _step(value: Any, step: Any) -> Any:
    if isinstance(step, tuple):
        keys = json.loads(step[1])
        for item in value if isinstance(value, list) else []:
            if all(item.get(name) == wanted for name, wanted in keys.items()):
                return item
        return None
    return value.get(step) if isinstance(value, dict) else None


def encode(paths: set[Path]) -> Document:
    """FieldsV1."""
    tree: Document = {}
    for path in sorted(paths, key=str):
        inner = tree
        for step in path:
            name = f"k:{step[1]}" if isinstance(step, tuple) else f"f:{step}"
            inner = inner.setdefault(name, {".": {}} if isinstance(step, tuple) else {})
    return tree


def decode(tree: Document, path: Path = ()) -> set[Path]:
    found: set[Path] = set()
    below = {name: inner for name, inner in tree.items() if name != "."}
    if not below:
        return {path} if path else set()
    for name, inner in below.items():
        step: Any = ("k", name[2:]) if name.startswith("k:") else name[2:]
        found |= decode(inner, (*path, step))
    return found


def shown(path: Path) -> str:
    """As the server shows a path in a conflict."""
    text = ""
    for step in path:
        if isinstance(step, tuple):
            keys = json.loads(step[1])
            text += "[" + ",".join(f'{key}="{value}"' for key, value in keys.items()) + "]"
        else:
            text += f".{step}"
    return text


def managers(document: Document) -> dict[tuple[str, str, str], set[Path]]:
    """(manager, operation, subresource) -> paths."""
    return {
        (one["manager"], one["operation"], one.get("subresource", "")): decode(one.get("fieldsV1") or {})
        for one in document.get("metadata", {}).get("managedFields") or []
    }


def set_managers(document: Document, owners: dict[tuple[str, str, str], set[Path]]) -> None:
    document["metadata"]["managedFields"] = [
        {
            "manager": manager, "operation": operation, "apiVersion": document["apiVersion"], "time": stamp(),
            "fieldsType": "FieldsV1", "fieldsV1": encode(paths),
        } | ({"subresource": subresource} if subresource else {})
        for (manager, operation, subresource), paths in sorted(owners.items()) if paths
    ]  # fmt: skip


def apply(
    live: Document | None, wanted: Document, manager: str, *, force: bool
) -> tuple[Document, list[tuple[str, str]]]:
    """The merged object, and (field, owner) of conflicts; with conflicts nothing is to be stored."""
    fields = leaves({key: value for key, value in wanted.items() if key != "status"})
    merged = copy.deepcopy(live) if live else {
        "apiVersion": wanted["apiVersion"], "kind": wanted["kind"],
        "metadata": {key: wanted["metadata"][key] for key in ("name", "namespace") if key in wanted["metadata"]},
    }  # fmt: skip
    owners = managers(merged)
    mine = (manager, "Apply", "")
    conflicts = []
    for owner, paths in owners.items():
        if owner == mine:
            continue
        for path, value in fields.items():
            contested = [
                one for one in paths if one == path or one[: len(path)] == path or path[: len(one)] == one
            ]
            if contested and read(merged, path) != value:
                if force:
                    paths.difference_update(contested)
                else:
                    via = ' with subresource "status"' if owner[2] else ""
                    conflicts.append(
                        (shown(path), f'conflict with "{owner[0]}"{via} using {merged["apiVersion"]}')
                    )
    if conflicts:
        return merged, conflicts
    given_up = owners.get(mine, set()) - set(fields)
    for path in sorted(given_up, key=len, reverse=True):
        if not any(path in paths for owner, paths in owners.items() if owner != mine):
            remove(merged, path)
    for path, value in fields.items():
        write(merged, path, value)
    owners[mine] = set(fields)
    set_managers(merged, owners)
    return merged, []


def update(live: Document | None, after: Document, manager: str, subresource: str = "") -> Document:
    """The object with the changed fields noted as the writer's."""
    owners = managers(live or {})
    before, now = leaves(live or {}), leaves(after)
    if not subresource:
        before = {path: value for path, value in before.items() if path[0] != "status"}
        now = {path: value for path, value in now.items() if path[0] != "status"}
    touched = {path for path, value in now.items() if before.get(path, object()) != value}
    for owner, paths in owners.items():
        owners[owner] = {path for path in paths - touched if read(after, path) is not None}
    key = (manager, "Update", subresource)
    owners[key] = owners.get(key, set()) | touched
    set_managers(after, owners)
    return after
