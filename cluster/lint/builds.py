"""What a kustomization makes, without running kustomize: resources, components, patches, images, replicas.

Names are left without the prefixes and hashes that kustomize adds; plugins, replacements and charts are not applied,
and a note says so. What kustomize could not build is an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cluster.lint.findings import Finding, Place, Severity
from cluster.lint.kustomize import (
    FIELDS,
    FILES,
    NOT_APPLIED,
    Generated,
    Layer,
    generated,
    image_name,
    images_of,
    replaced_image,
)
from cluster.lint.manifest import Manifest, Origin, at, items, mapping, mappings, texts
from cluster.lint.patches import Operation, PatchError, apply, merge, operations
from cluster.lint.words import closest, listed
from cluster.lint.yaml_text import Document, Fault, path_text, read_documents
from cluster.lint.yaml_text import Path as Steps

_RULE = "kustomize/patch"
_SCALED = ("Deployment", "StatefulSet", "ReplicaSet", "ReplicationController")
_BUILD_ELSEWHERE = "kustomize build FOLDER | manta cluster lint -"

ReadFile = Callable[[Path, Layer], list[Manifest]]


@dataclass
class Build:
    """What one kustomization makes.

    Args:
        is_partial: some of it is elsewhere, or made by a plugin.
    """

    manifests: list[Manifest] = field(default_factory=list)
    generated: list[Generated] = field(default_factory=list)
    is_partial: bool = False


@dataclass(frozen=True)
class _Source:
    """A kustomization file.

    Args:
        is_component: changes what is beside it, whatever that is.
    """

    path: Path
    document: Document
    value: Mapping[str, Any]
    is_component: bool

    def place(self, steps: Steps) -> Place:
        return Place(str(self.path), self.document.number, self.document.line_of(steps), path_text(steps))

    def origin(self, steps: Steps) -> Origin:
        return Origin(str(self.path), self.document, steps)


class Builder:
    """Builds kustomizations one by one.

    Args:
        read_file: objects of a file, each with what the layer adds to it.
        say: takes what is wrong.
    """

    def __init__(self, read_file: ReadFile, say: Callable[[Finding], None]) -> None:
        self._read_file = read_file
        self._report = say

    def build(self, path: Path, layer: Layer, above: tuple[Path, ...] = ()) -> Build:
        """Everything that the kustomization makes; `above`: those that it is part of."""
        made = Build()
        self._fill(made, path, layer, above)
        return made

    def _fill(self, made: Build, path: Path, layer: Layer, above: tuple[Path, ...]) -> None:
        for document in read_documents(path.read_text("utf-8", "replace")):
            for fault in document.faults:
                self.fault(str(path), document, fault)
            if isinstance(document.value, Mapping):
                is_component = document.value.get("kind") == "Component"
                source = _Source(path, document, document.value, is_component)
                self._one(made, source, layer, (*above, path.resolve()))

    def fault(self, name: str, document: Document, fault: Fault, num_before: int = 0) -> None:
        """Text that is no YAML."""
        rule = "yaml/broken" if fault.is_fatal else "yaml/duplicate-key"
        place = Place(name, document.number, fault.line + num_before, path_text(fault.path))
        self._report(Finding(Severity.ERROR, rule, place, fault.message, fault.fix))

    def _one(self, made: Build, source: _Source, layer: Layer, above: tuple[Path, ...]) -> None:
        self._fields(source)
        inner = layer.within(source.value)
        made.is_partial |= inner.is_patched
        for key in ("resources", "bases", "crds"):
            for index, entry in enumerate(items(source.value.get(key))):
                self._resource(made, source, (key, index), str(entry), inner, above)
        made.generated.extend(generated(source.value, inner))
        for index, entry in enumerate(items(source.value.get("components"))):
            target = self._kustomization(source, ("components", index), str(entry), above)
            if target is not None:
                self._fill(made, target, inner, above)
        self._patches(made, source)
        self._images(made, source)
        self._replicas(made, source)
        self._annotations(made, source)

    def _fields(self, source: _Source) -> None:
        for key in source.value:
            if key not in FIELDS:
                meant = closest(str(key), FIELDS)
                fix = f"did you mean {meant}?" if meant else "remove it"
                self._say(
                    Severity.ERROR,
                    "kustomize/unknown-field",
                    source.place((key,)),
                    f"unknown field {key}",
                    fix,
                )
        skipped = [key for key in NOT_APPLIED if source.value.get(key)]
        if skipped:
            message = f"{listed(skipped)} not applied: objects are looked at as they are before"
            place = source.place((skipped[0],))
            self._say(Severity.NOTE, "kustomize/not-applied", place, message, _BUILD_ELSEWHERE)
        named = [key for key in ("namePrefix", "nameSuffix") if source.value.get(key)]
        if named:
            message = f"{listed(named)} not applied: objects are named here as they are before"
            self._say(
                Severity.NOTE, "kustomize/not-applied", source.place((named[0],)), message, _BUILD_ELSEWHERE
            )

    def _resource(
        self, made: Build, source: _Source, key: Steps, entry: str, layer: Layer, above: tuple[Path, ...]
    ) -> None:
        if _is_remote(entry):
            made.is_partial = True
            self._remote(source, key, entry)
            return
        target = source.path.parent / entry
        if target.is_file() and target.name not in FILES:
            made.manifests.extend(self._read_file(target, layer))
            return
        inner = self._kustomization(source, key, entry, above)
        if inner is None:
            made.is_partial = True
            return
        below = self.build(inner, layer, above)
        made.manifests.extend(below.manifests)
        made.generated.extend(below.generated)
        made.is_partial |= below.is_partial

    def _remote(self, source: _Source, key: Steps, entry: str) -> None:
        message = f"{entry} is elsewhere: not looked at"
        self._say(Severity.NOTE, "kustomize/remote", source.place(key), message, "build it and pipe it in")

    def _kustomization(self, source: _Source, key: Steps, entry: str, above: tuple[Path, ...]) -> Path | None:
        """The kustomization file that the entry leads to; None, and a finding, if there is none."""
        if _is_remote(entry):
            self._remote(source, key, entry)
            return None
        target = source.path.parent / entry
        inner = next((target / name for name in FILES if (target / name).is_file()), None)
        if inner is None:
            what = "has no kustomization.yaml" if target.is_dir() else "is not there"
            meant = closest(entry, [each.name for each in source.path.parent.iterdir()])
            fix = f"did you mean {meant}?" if meant else "add it, or take the entry out"
            message = f"{entry} {what}, so that kustomize cannot build"
            self._say(Severity.ERROR, "kustomize/resource", source.place(key), message, fix)
        elif inner.resolve() in above:
            message = f"{entry} leads back to a kustomization that this one is part of"
            self._say(Severity.ERROR, "kustomize/resource", source.place(key), message, "take the entry out")
            return None
        return inner

    def _patches(self, made: Build, source: _Source) -> None:
        """In kustomize's order; each entry may hold several patches."""
        for index, entry in enumerate(items(source.value.get("patchesStrategicMerge"))):
            is_path = isinstance(entry, str) and "\n" not in entry and (source.path.parent / entry).is_file()
            given = {"path" if is_path or "\n" not in str(entry) else "patch": entry}
            self._patch(made, source, ("patchesStrategicMerge", index), given)
        for key in ("patches", "patchesJson6902"):
            for index, entry in mappings(source.value.get(key)):
                self._patch(made, source, (key, index), entry)

    def _patch(self, made: Build, source: _Source, key: Steps, entry: Mapping[str, Any]) -> None:
        target = entry.get("target") if isinstance(entry.get("target"), Mapping) else None
        for document, origin in self._patch_documents(source, key, entry):
            value = document.value
            try:
                if isinstance(value, list):
                    self._json_patch(made, source, key, target, operations(value, origin))
                elif isinstance(value, Mapping):
                    self._merge(made, source, key, target, value, origin)
            except PatchError as exc:
                place = replace(source.place(key), file=origin.file, line=origin.within(exc.path).line)
                self._say(Severity.ERROR, _RULE, place, exc.message, exc.fix)

    def _patch_documents(
        self, source: _Source, key: Steps, entry: Mapping[str, Any]
    ) -> Iterator[tuple[Document, Origin]]:
        """The documents of a patch that is in a file, or in the kustomization itself."""
        text, name, num_before = entry.get("patch"), str(source.path), 0
        where = key if key[0] == "patchesStrategicMerge" else (*key, "patch")
        if isinstance(text, str):
            first = source.document.text_line(where)
            num_before = (source.document.line_of(where) if first is None else first) - 1
        elif isinstance(entry.get("path"), str):
            path = source.path.parent / entry["path"]
            if not path.is_file():
                meant = closest(entry["path"], [each.name for each in source.path.parent.iterdir()])
                fix = f"did you mean {meant}?" if meant else "add it, or take the entry out"
                message = f"{entry['path']} is not there, so that kustomize cannot build"
                self._say(Severity.ERROR, "kustomize/resource", source.place(key), message, fix)
                return
            text, name = path.read_text("utf-8", "replace"), str(path)
        else:
            self._say(
                Severity.ERROR,
                _RULE,
                source.place(key),
                "neither path nor patch",
                "name a file, or write it out",
            )
            return
        for document in read_documents(text):
            for fault in document.faults:
                self.fault(name, document, fault, num_before)
            if document.value is not None:
                yield document, Origin(name, document, (), num_before)

    def _json_patch(
        self,
        made: Build,
        source: _Source,
        key: Steps,
        target: Mapping[str, Any] | None,
        steps: Sequence[Operation],
    ) -> None:
        if target is None:
            raise PatchError("a JSON patch needs a target", "add target with kind and name")
        chosen = [index for index, each in enumerate(made.manifests) if _is_target(each, target)]
        if not chosen:
            self._no_target(made, source, key, target)
        for index in chosen:
            for step in steps:
                try:
                    made.manifests[index] = apply(made.manifests[index], step)
                except PatchError as exc:
                    place = replace(source.place(key), file=step.origin.file, line=step.origin.line)
                    self._say(Severity.ERROR, _RULE, place, exc.message, exc.fix)

    def _merge(
        self,
        made: Build,
        source: _Source,
        key: Steps,
        target: Mapping[str, Any] | None,
        patch: Mapping[str, Any],
        origin: Origin,
    ) -> None:
        if target is not None:
            chosen = [each for each in made.manifests if _is_target(each, target)]
            if not chosen:
                self._no_target(made, source, key, target)
        else:
            chosen = [each for each in made.manifests if _is_same(each, patch)]
            if not chosen:
                self._nobody(made, source, patch, origin)
        changed = {id(each): merge(each, patch, origin) for each in chosen}
        made.manifests = [
            kept for each in made.manifests if (kept := changed.get(id(each), each)) is not None
        ]

    def _no_target(self, made: Build, source: _Source, key: Steps, target: Mapping[str, Any]) -> None:
        # A component is written for whatever it will be beside.
        if source.is_component:
            return
        shown = listed(f"{name} {value}" for name, value in target.items())
        names = [each.name for each in made.manifests if each.kind == target.get("kind", each.kind)]
        meant = closest(str(target.get("name", "")), names)
        severity = Severity.NOTE if made.is_partial else Severity.WARNING
        fix = f"did you mean {meant}?" if meant else "mend the target, or take the patch out"
        self._say(
            severity, _RULE, source.place((*key, "target")), f"no resource is a {shown}: changes nothing", fix
        )

    def _nobody(self, made: Build, source: _Source, patch: Mapping[str, Any], origin: Origin) -> None:
        kind, name = str(patch.get("kind", "")), str(at(patch, "metadata", "name") or "")
        of_generator = any(each.kind == kind and each.name == name for each in made.generated)
        if of_generator or (source.is_component and not made.manifests):
            return
        meant = closest(name, [each.name for each in made.manifests if each.kind == kind])
        severity = Severity.NOTE if made.is_partial else Severity.ERROR
        place = Place(origin.file, origin.document.number, origin.within(("metadata", "name")).line)
        message = f"patches {kind} {name}, which is none of the resources: kustomize cannot build"
        fix = f"did you mean {meant}?" if meant else "name one of the resources, with its apiVersion and kind"
        self._say(severity, _RULE, place, message, fix)

    def _images(self, made: Build, source: _Source) -> None:
        for index, entry in mappings(source.value.get("images")):
            name, is_used = str(entry.get("name", "")), False
            known: set[str] = set()
            for number, manifest in enumerate(made.manifests):
                if manifest.kind == "CustomResourceDefinition":
                    continue
                for path, image in images_of(manifest.data):
                    known.add(image_name(image))
                    if image_name(image) == name:
                        is_used = True
                        origin = source.origin(("images", index))
                        step = Operation("set", path, replaced_image(image, entry), (), origin)
                        made.manifests[number] = _set(made.manifests[number], step)
            meant = closest(name, known)
            if not is_used and not source.is_component and meant is not None:
                message = f"no container has the image {name}: changes nothing"
                place = source.place(("images", index))
                self._say(Severity.WARNING, "kustomize/image", place, message, f"did you mean {meant}?")

    def _replicas(self, made: Build, source: _Source) -> None:
        for index, entry in mappings(source.value.get("replicas")):
            name, count = str(entry.get("name", "")), entry.get("count")
            origin = source.origin(("replicas", index, "count"))
            chosen = [
                number
                for number, each in enumerate(made.manifests)
                if each.name == name and each.kind in _SCALED
            ]
            for number in chosen:
                step = Operation("set", ("spec", "replicas"), count, (), origin)
                made.manifests[number] = _set(made.manifests[number], step)
            if not chosen and not source.is_component and not made.is_partial:
                meant = closest(name, [each.name for each in made.manifests if each.kind in _SCALED])
                message = f"no {listed(_SCALED[:2])} is named {name}: kustomize cannot build"
                fix = f"did you mean {meant}?" if meant else "take the entry out"
                self._say(
                    Severity.ERROR, "kustomize/replicas", source.place(("replicas", index)), message, fix
                )

    def _annotations(self, made: Build, source: _Source) -> None:
        for key, value in texts(source.value.get("commonAnnotations")).items():
            origin = source.origin(("commonAnnotations", key))
            for number, manifest in enumerate(made.manifests):
                paths: list[Steps] = [("metadata", "annotations", key)]
                if (
                    isinstance(manifest.get("spec", "template", "metadata"), Mapping)
                    and manifest.group != "ray.io"
                ):
                    paths.append(("spec", "template", "metadata", "annotations", key))
                for path in paths:
                    step = Operation("set", path, value, (), origin)
                    made.manifests[number] = _set(made.manifests[number], step)

    def _say(self, severity: Severity, rule: str, place: Place, message: str, fix: str) -> None:
        self._report(Finding(severity, rule, place, message, fix))


def _set(manifest: Manifest, step: Operation) -> Manifest:
    """The object with a value at a path, whose parents are made where they lack."""
    value: Any = step.value
    for length in range(len(step.path) - 1, 0, -1):
        parent = manifest.get(*step.path[:length])
        if isinstance(parent, list):
            copy = list(parent)
            copy[int(step.path[length])] = value
            value = copy
        else:
            value = {**mapping(parent), step.path[length]: value}
    data = {**manifest.data, str(step.path[0]): value}
    return replace(manifest, data=data, former=manifest, traces={step.path: step.origin})


def _is_remote(entry: str) -> bool:
    return "://" in entry or entry.startswith(("git@", "github.com/")) or "?ref=" in entry


def _is_same(manifest: Manifest, patch: Mapping[str, Any]) -> bool:
    """Whether a patch without a target is meant for the object."""
    namespace = at(patch, "metadata", "namespace")
    return (
        manifest.kind == patch.get("kind")
        and manifest.api_version == patch.get("apiVersion")
        and manifest.name == at(patch, "metadata", "name")
        and (not namespace or not manifest.namespace or namespace == manifest.namespace)
    )


def _is_target(manifest: Manifest, target: Mapping[str, Any]) -> bool:
    version = manifest.api_version.rpartition("/")[2]
    has = {
        "group": manifest.group,
        "version": version,
        "kind": manifest.kind,
        "name": manifest.name,
        "namespace": manifest.namespace,
    }
    if not all(_fits(str(target[key]), value) for key, value in has.items() if target.get(key)):
        return False
    return _selected(target.get("labelSelector"), manifest.labels) and _selected(
        target.get("annotationSelector"), manifest.annotations
    )


def _fits(pattern: str, value: str) -> bool:
    try:
        return re.fullmatch(pattern, value) is not None
    except re.error:
        return pattern == value


def _selected(selector: object, labels: Mapping[str, str]) -> bool:
    """`a=b,c!=d,e`; a set (`in (...)`) is taken to fit."""
    if not isinstance(selector, str) or "(" in selector:
        return True
    for part in filter(None, (each.strip() for each in selector.split(","))):
        match = re.match(r"(!?[^=!]+)(!=|==?|)(.*)", part)
        if match is None:
            return True
        key, sign, value = (each.strip() for each in match.groups())
        if not sign:
            is_there = key.lstrip("!") in labels
            if is_there is key.startswith("!"):
                return False
        elif (labels.get(key) == value) is (sign == "!="):
            return False
    return True
