"""Patches as kustomize applies them: strategic merges and JSON patches (RFC 6902), with where each part comes from.

Which lists are merged by a key, and by which, is Kubernetes' own schema's to say; in the objects of CRDs kustomize
knows of no keys, and a patch's list takes the place of the whole list. Reads no files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from cluster.lint.manifest import Manifest, Origin, at, items
from cluster.lint.yaml_text import Path, path_text

# field -> what its items are told apart by: `x-kubernetes-patch-merge-key` of Kubernetes' OpenAPI.
_KEYS = {
    "containers": "name", "initContainers": "name", "ephemeralContainers": "name", "env": "name", "volumes": "name",
    "volumeMounts": "mountPath", "volumeDevices": "devicePath", "imagePullSecrets": "name", "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey", "secrets": "name", "webhooks": "name", "resourceClaims": "name",
    "schedulingGates": "name", "ownerReferences": "uid",
}  # fmt: skip
_NATIVE_GROUPS = ("apps", "batch", "policy", "autoscaling", "extensions")
_DIRECTIVE = "$patch"


# Directives of `kubectl patch` that kustomize has not known since 3.8: it leaves them in the object, as fields
# (https://github.com/kubernetes-sigs/kustomize/issues/2954).
_LEAVE = "take it out"
_INSTEAD = {
    "$setElementOrder": "take it out: what the patch names comes first, in the patch's order",
    "$retainKeys": "take it out, and write null for each field that shall go",
    "$deleteFromPrimitiveList": "take it out, and write the whole list as it shall be",
}


class PatchError(Exception):
    """A patch that cannot be applied, as kustomize would say it; what is wrong, and the way out."""

    def __init__(self, message: str, fix: str, path: Path = ()) -> None:
        super().__init__(message, fix, path)
        self.message, self.fix, self.path = message, fix, path


def _not_applied(key: str) -> str:
    return f"kustomize does not know {key}, and writes it into the object, where the API server refuses it"


class _Gone(Exception):
    """The patch deletes this part."""


def merge(manifest: Manifest, patch: Mapping[str, Any], origin: Origin) -> Manifest | None:
    """The object with the patch merged into it, its name and kind kept; None if the patch deletes it.

    Raises:
        PatchError: a directive that is not known here.
    """
    merger = _Merger(origin, is_native=_is_native(manifest))
    try:
        data = dict(merger.merged(manifest.data, patch, (), ()))
    except _Gone:
        return None
    for key in ("apiVersion", "kind"):
        data[key] = manifest.data[key]
    metadata = data.get("metadata")
    if isinstance(metadata, Mapping) and "name" in metadata:
        data["metadata"] = {**metadata, "name": manifest.name}
    return replace(manifest, data=data, former=manifest, traces=merger.traces)


def _is_native(manifest: Manifest) -> bool:
    return manifest.group in ("", *_NATIVE_GROUPS) or manifest.group.endswith(".k8s.io")


class _Merger:
    def __init__(self, origin: Origin, *, is_native: bool) -> None:
        self.traces: dict[Path, Origin | Path] = {}
        self._origin = origin
        self._is_native = is_native

    def merged(self, base: Any, patch: Any, here: Path, there: Path) -> Any:
        """`here`: the path in the result; `there`: in the patch."""
        if isinstance(patch, Mapping):
            return self._mapping(base, patch, here, there)
        if isinstance(patch, list) and isinstance(base, list) and (key := self._key(here)):
            return self._list(base, patch, key, here, there)
        self.traces[here] = self._origin.within(there)
        return patch

    def _mapping(self, base: Any, patch: Mapping[str, Any], here: Path, there: Path) -> dict[str, Any]:
        directive = patch.get(_DIRECTIVE)
        if directive == "delete":
            raise _Gone
        if directive not in (None, "merge", "replace"):
            raise PatchError(
                f"{_DIRECTIVE}: {directive} is not known", "write merge, replace or delete", there
            )
        is_new = not isinstance(base, Mapping) or directive == "replace"
        if is_new:
            self.traces[here] = self._origin.within(there)
        result: dict[str, Any] = {} if is_new else dict(base)
        for key, value in patch.items():
            if key == _DIRECTIVE:
                continue
            if key.startswith("$"):
                raise PatchError(
                    _not_applied(key), _INSTEAD.get(key.partition("/")[0], _LEAVE), (*there, key)
                )
            try:
                if value is None:
                    result.pop(key, None)
                else:
                    result[key] = self.merged(result.get(key), value, (*here, key), (*there, key))
            except _Gone:
                result.pop(key, None)
        return result

    def _key(self, here: Path) -> str | None:
        name = here[-1] if here else ""
        if not self._is_native:
            return None
        if name == "ports":
            return (
                "containerPort" if any(step in ("containers", "initContainers") for step in here) else "port"
            )
        return _KEYS.get(str(name))

    def _list(self, base: list[Any], patch: list[Any], key: str, here: Path, there: Path) -> list[Any]:
        """What the patch names comes first, in its order; the rest of the base follows, as kustomize has it."""
        if any(isinstance(item, Mapping) and item.get(_DIRECTIVE) == "replace" for item in patch):
            self.traces[here] = self._origin.within(there)
            return [item for item in patch if not (isinstance(item, Mapping) and _DIRECTIVE in item)]
        positions = {
            str(item[key]): index
            for index, item in enumerate(base)
            if isinstance(item, Mapping) and key in item
        }
        result: list[Any] = []
        taken: set[int] = set()
        for index, item in enumerate(patch):
            position = positions.get(str(item.get(key))) if isinstance(item, Mapping) else None
            where = (*here, len(result))
            if position is not None:
                taken.add(position)
                self.traces[where] = (*here, position)
            try:
                result.append(
                    self.merged(None if position is None else base[position], item, where, (*there, index))
                )
            except _Gone:
                self.traces.pop(where, None)
        for position, item in enumerate(base):
            if position not in taken:
                self.traces[(*here, len(result))] = (*here, position)
                result.append(item)
        return result


@dataclass(frozen=True)
class Operation:
    """One step of a JSON patch.

    Args:
        origin: of the step.
    """

    op: str
    path: Path
    value: Any
    source: Path
    origin: Origin


def operations(value: list[Any], origin: Origin) -> list[Operation]:
    """The steps of a JSON patch.

    Raises:
        PatchError: one is none.
    """
    found = []
    for index, step in enumerate(value):
        if not isinstance(step, Mapping) or not isinstance(step.get("path"), str):
            raise PatchError("a step of a JSON patch needs op and path", "write op, path and value", (index,))
        op = str(step.get("op"))
        if op not in ("add", "remove", "replace", "move", "copy", "test"):
            raise PatchError(f"{op!r} is no step of a JSON patch", "write add, remove or replace", (index,))
        if op in ("add", "replace", "test") and "value" not in step:
            raise PatchError(f"{op} {step['path']} has no value", "add value", (index,))
        source = _pointer(str(step.get("from", "")))
        found.append(
            Operation(op, _pointer(step["path"]), step.get("value"), source, origin.within((index,)))
        )
    return found


def _pointer(text: str) -> Path:
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:])


def apply(manifest: Manifest, step: Operation) -> Manifest:
    """The object after one step.

    Raises:
        PatchError: the path is not there, or a test fails.
    """
    if step.op == "test":
        if at(manifest.data, *_typed(manifest.data, step.path)) != step.value:
            raise PatchError(
                f"the test of {path_text(step.path)} fails on {manifest.title}", "mend the patch, or its test"
            )
        return manifest
    if step.op in ("move", "copy"):
        source = _typed(manifest.data, step.source)
        value = at(manifest.data, *source)
        if step.op == "move":
            manifest = _changed(manifest, replace(step, op="remove", path=step.source))
        return _changed(manifest, replace(step, op="add", value=value))
    return _changed(manifest, step)


def _changed(manifest: Manifest, step: Operation) -> Manifest:
    path = _typed(manifest.data, step.path)
    if not path:
        raise PatchError("a JSON patch of the whole object", "name a path")
    parent, last = at(manifest.data, *path[:-1]), path[-1]
    traces: dict[Path, Origin | Path] = {}
    if isinstance(parent, list):
        new_parent: Any = _list_changed(manifest, step, parent, path, traces)
    elif isinstance(parent, Mapping):
        if step.op in ("remove", "replace") and last not in parent:
            raise _nothing_there(manifest, path)
        new_parent = {key: value for key, value in parent.items() if key != last or step.op != "remove"}
        if step.op != "remove":
            new_parent[str(last)] = step.value
            traces[path] = step.origin.within(("value",))
    else:
        raise _nothing_there(manifest, path)
    data = _with(manifest.data, path[:-1], new_parent)
    return replace(manifest, data=data, former=manifest, traces=traces)


def _list_changed(
    manifest: Manifest, step: Operation, parent: list[Any], path: Path, traces: dict[Path, Origin | Path]
) -> list[Any]:
    above, last = path[:-1], path[-1]
    index = len(parent) if last == "-" else last
    most = len(parent) if step.op == "add" else len(parent) - 1
    if not isinstance(index, int) or index > most:
        raise _nothing_there(manifest, path)
    if step.op == "replace":
        traces[(*above, index)] = step.origin.within(("value",))
        return [*parent[:index], step.value, *parent[index + 1 :]]
    shift = 1 if step.op == "add" else -1
    for position in range(index if shift == 1 else index + 1, len(parent)):
        traces[(*above, position + shift)] = (*above, position)
    if step.op == "remove":
        return [*parent[:index], *parent[index + 1 :]]
    traces[(*above, index)] = step.origin.within(("value",))
    return [*parent[:index], step.value, *parent[index:]]


def _nothing_there(manifest: Manifest, path: Path) -> PatchError:
    fix = "add the part above first, or mend the path"
    return PatchError(f"{manifest.title} has no {path_text(path)}: kustomize cannot build", fix)


def _typed(data: Any, path: Path) -> Path:
    """The path with numbers where lists are."""
    typed: list[str | int] = []
    value = data
    for step in path:
        is_index = isinstance(value, list) and str(step).isdigit()
        typed.append(int(step) if is_index else step)
        value = at(value, typed[-1])
    return tuple(typed)


def _with(value: Any, path: Path, part: Any) -> Any:
    """A copy with another part at the path."""
    if not path:
        return part
    step, rest = path[0], path[1:]
    if isinstance(value, Mapping):
        return {**value, step: _with(value.get(step), rest, part)}
    copy = list(items(value))
    copy[int(step)] = _with(copy[int(step)], rest, part)
    return copy
