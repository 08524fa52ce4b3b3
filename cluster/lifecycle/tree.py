"""A tree of manifests as waves, in the order in which kustomize lists them. Reads files, asks no cluster.

What a kustomization may do here is list `resources`. Whatever changes objects (patches, generators, images) is
kustomize's own business: such a tree is built first, and the result is given.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.load import ProfileError, read_manifests
from kuberay.objects import Document, Ref, ref_of

KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_MAX_NAME = 50  # and a revision's number, of the 63 characters of a label's value
# What others stand on, if a wave has several kinds; all the rest stays in the order of its files.
_FIRST = (
    "Namespace",
    "CustomResourceDefinition",
    "PriorityClass",
    "StorageClass",
    "ResourceQuota",
    "LimitRange",
    "ServiceAccount",
    "ClusterRole",
    "Role",
    "ClusterRoleBinding",
    "RoleBinding",
    "ConfigMap",
    "Secret",
)


@dataclass(frozen=True, slots=True)
class Wave:
    """Objects that are applied together, and ready before the next."""

    name: str
    objects: tuple[Document, ...]


@dataclass(frozen=True, slots=True)
class Tree:
    """Everything that is applied, and how its history is called."""

    path: Path
    waves: tuple[Wave, ...]
    namespace: str
    name: str
    is_part: bool = False  # of a larger tree, whose history it shares

    @property
    def objects(self) -> tuple[Document, ...]:
        return tuple(one for wave in self.waves for one in wave.objects)

    @property
    def services(self) -> tuple[Ref, ...]:
        """Its RayServices."""
        return tuple(ref_of(one) for one in self.objects if one["kind"] == "RayService")

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Every namespace that it makes or puts something into."""
        made = [one["metadata"]["name"] for one in self.objects if one["kind"] == "Namespace"]
        used = [one["metadata"].get("namespace", "") for one in self.objects]
        return tuple(dict.fromkeys(name for name in [*made, *used] if name))


def read_tree(path: Path) -> Tree:
    """The waves of a folder or file.

    Raises:
        ProfileError: it is not there, is no YAML, has something that is no object, or one object twice.
    """
    if not path.exists():
        raise ProfileError(f"{path}: no such file or folder; render it with: manta cluster render PROFILE")
    waves = tuple(Wave(name, _ordered(objects)) for name, objects in _waves(path) if objects)
    if not waves:
        raise ProfileError(f"{path}: holds no objects")
    seen: dict[Ref, str] = {}
    for wave in waves:
        for one in wave.objects:
            ref = ref_of(one)
            if ref in seen:
                raise ProfileError(f"{path}: {ref} is there twice, in {seen[ref]} and in {wave.name}")
            seen[ref] = wave.name
    if (whole := _whole(path)) != path.resolve():
        tree = read_tree(whole)
        return Tree(path, waves, tree.namespace, tree.name, is_part=True)
    service = next((ref for ref in seen if ref.kind == "RayService"), None)
    if service is not None:
        return Tree(path, waves, service.namespace or "default", service.name)
    namespace = next((ref.namespace for ref in seen if ref.namespace), "default")
    # Whatever the folder is called, its history is kept under a name that Kubernetes takes.
    name = re.sub(r"[^a-z0-9]+", "-", path.resolve().stem.lower())[:_MAX_NAME].strip("-")
    return Tree(path, waves, namespace, name or "tree")


def _whole(path: Path) -> Path:
    """The folder of the largest tree that lists this path, itself or through others."""
    path = path.resolve()
    for name in KUSTOMIZATIONS:
        above = path.parent / name
        if above.is_file() and any(str(path.name) == str(one).strip("./") for one in _resources(above)):
            return _whole(path.parent)
    return path


def _waves(path: Path) -> Iterator[tuple[str, list[Document]]]:
    if path.is_file():
        yield path.stem, _objects(path)
        return
    alone: list[Document] = []
    for entry in _entries(path):
        if entry.is_dir():
            yield entry.name, list(_below(entry))
        else:
            alone += _objects(entry)
    if alone:
        yield path.resolve().name, alone


def _below(folder: Path) -> Iterator[Document]:
    for entry in _entries(folder):
        if entry.is_dir():
            yield from _below(entry)
        else:
            yield from _objects(entry)


def _entries(folder: Path) -> list[Path]:
    """What a folder's kustomization lists, or all of its YAML and folders by name where it has none."""
    for name in KUSTOMIZATIONS:
        if (found := folder / name).is_file():
            return _listed(found)
    return sorted(
        one for one in folder.iterdir() if one.is_dir() or one.suffix in (".yaml", ".yml")
    )  # fmt: skip


def _resources(kustomization: Path) -> list[str]:
    documents = read_manifests(kustomization)
    return [str(one) for document in documents for one in document.get("resources") or ()]


def _listed(kustomization: Path) -> list[Path]:
    documents = read_manifests(kustomization)
    document: dict[str, Any] = documents[0] if documents else {}
    if more := sorted(set(document) - {"apiVersion", "kind", "resources", "metadata"}):
        raise ProfileError(
            f"{kustomization}: uses {', '.join(more)}; build it first: "
            f"kubectl kustomize {kustomization.parent} > all.yaml"
        )
    entries = [kustomization.parent / str(one) for one in document.get("resources") or ()]
    for entry in entries:
        if not entry.exists():
            raise ProfileError(f"{kustomization}: lists {entry.name}, which is not there")
    return entries


def _objects(path: Path) -> list[Document]:
    objects: list[Document] = []
    for document in read_manifests(path):
        if document.get("kind") == "List" and isinstance(document.get("items"), list):
            objects += document["items"]
        else:
            objects.append(document)
    for number, one in enumerate(objects, 1):
        if isinstance(one, dict) and "applications" in one and "kind" not in one:
            raise ProfileError(
                f"{path} is a profile; render it, and give what comes out: manta cluster render {path}"
            )
        metadata = one.get("metadata") if isinstance(one, dict) else None
        if (
            not one.get("apiVersion")
            or not one.get("kind")
            or not isinstance(metadata, dict)
            or not metadata.get("name")
        ):
            raise ProfileError(
                f"{path}: document {number} is no Kubernetes object: it needs apiVersion, kind, metadata.name"
            )
        if one["kind"] == "RayService":
            # What belongs to it is looked for by namespace, and none would mean all of them.
            one["metadata"] = {"namespace": "default"} | metadata
    return objects


def _ordered(objects: list[Document]) -> tuple[Document, ...]:
    rank = {kind: position for position, kind in enumerate(_FIRST)}
    return tuple(sorted(objects, key=lambda one: rank.get(one["kind"], len(_FIRST))))
