"""The schemas that lint knows: one file an API group, made by `cluster.lint.compact`, and those of given CRDs.

A group's file is read when its first object is met.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from cluster.lint.compact import CORE, Parts, Schema, compact_crd
from cluster.lint.manifest import at

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Kind:
    """What one kind of object may hold.

    Args:
        schema: of the whole object, without metadata and status.
        parts: what its references count into.
        is_namespaced: lives in a namespace.
        is_native: Kubernetes' own, and no custom resource's.
    """

    schema: Schema
    parts: tuple[Schema, ...]
    is_namespaced: bool
    is_native: bool


class Schemas:
    """Kinds by apiVersion and kind. CRDs that are given come before the files."""

    def __init__(self, crds: Iterable[Mapping[str, Any]] = ()) -> None:
        self._given: dict[str, dict[str, Kind]] = {}
        for crd in crds:
            parts = Parts()
            found = dict(
                _kind(entry, f"{version} {kind}", parts.schemas)
                for version, kind, entry in compact_crd(crd, parts)
            )
            self._given.setdefault(str(at(crd, "spec", "group")), {}).update(found)

    def kind(self, api_version: str, kind: str) -> Kind | None:
        """None: not known here."""
        group = group_of(api_version)
        name = f"{api_version} {kind}"
        return self._given.get(group, {}).get(name) or _group(group).get(name)

    def knows_group(self, api_version: str) -> bool:
        group = group_of(api_version)
        return group in self._given or bool(_group(group))

    def versions(self, group: str, kind: str) -> list[str]:
        """The apiVersions of the group that have this kind."""
        names = {**_group(group), **self._given.get(group, {})}
        return [name.split(" ")[0] for name in names if name.split(" ")[1] == kind]

    def kinds(self, group: str) -> list[str]:
        """The kinds of that group."""
        names = {**_group(group), **self._given.get(group, {})}
        return sorted({name.split(" ")[1] for name in names})

    def homes(self, kind: str) -> Iterator[str]:
        """Every apiVersion that has a kind of this name."""
        for group in sorted({*self._given, *(path.stem for path in _FOLDER.glob("*.json"))}):
            yield from self.versions(group, kind)


@cache
def metadata() -> Kind:
    """What every object's metadata may hold."""
    document = _document(CORE)
    return Kind(
        document["kinds"][" metadata"]["schema"],
        tuple(document["parts"]),
        is_namespaced=False,
        is_native=True,
    )


def group_of(api_version: str) -> str:
    return api_version.partition("/")[0] if "/" in api_version else CORE


@cache
def _group(group: str) -> dict[str, Kind]:
    document = _document(group)
    kinds = document.get("kinds", {})
    return dict(_kind(entry, name, document["parts"]) for name, entry in kinds.items() if name[0] != " ")


def _kind(entry: Mapping[str, Any], name: str, parts: Iterable[Schema]) -> tuple[str, Kind]:
    return name, Kind(entry["schema"], tuple(parts), entry["namespaced"], entry["native"])


@cache
def _document(group: str) -> dict[str, Any]:
    path = _FOLDER / f"{group}.json"
    # The group comes from a manifest: it may be anything.
    if "/" in group or not path.is_file():
        return {}
    document: dict[str, Any] = json.loads(path.read_text())
    return document
