"""What objects refer to and do not bring: images, and secrets by name. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from kuberay.objects import Document, at


def images_of(objects: Iterable[Document]) -> list[str]:
    """Every image that a container is made of, each once."""
    found = (
        container["image"]
        for one in objects
        for pod in _pods(one)
        for kind in ("initContainers", "containers")
        for container in pod.get(kind) or ()
        if container.get("image")
    )
    return list(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class SecretNeeded:
    """A secret that nothing among the objects makes; `keys` are those that are named one by one."""

    namespace: str
    name: str
    who: str
    keys: tuple[str, ...] = ()


def secrets_needed(objects: Iterable[Document]) -> list[SecretNeeded]:
    """Secrets that somebody else must have, in the order of their names."""
    objects = list(objects)
    made = set(_made(objects))
    needed: dict[tuple[str, str], SecretNeeded] = {}
    for one in objects:
        namespace = at(one, "metadata", "namespace") or ""
        who = f"{one['kind']} {one['metadata']['name']}"
        for name, key in _named(one):
            if (namespace, name) in made:
                continue
            found = needed.get((namespace, name), SecretNeeded(namespace, name, who))
            keys = {*found.keys, key} - {""}
            needed[namespace, name] = replace(found, keys=tuple(sorted(keys)))
    return [needed[ref] for ref in sorted(needed)]


def _made(objects: Iterable[Document]) -> Iterator[tuple[str, str]]:
    for one in objects:
        namespace = at(one, "metadata", "namespace") or ""
        if one["kind"] == "Secret":
            yield namespace, one["metadata"]["name"]
        elif one["kind"] == "ExternalSecret":
            yield namespace, at(one, "spec", "target", "name") or one["metadata"]["name"]


def _named(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """(secret, key in it or nothing) of secretKeyRef, secretRef, volumes' secret and imagePullSecrets, anywhere."""
    if isinstance(value, Mapping):
        if key in ("secretKeyRef", "secretRef") and value.get("name") and not value.get("optional"):
            yield value["name"], str(value.get("key") or "")
        elif key == "secret" and value.get("secretName") and not value.get("optional"):
            yield from ((value["secretName"], item["key"]) for item in value.get("items") or ({"key": ""},))
        for name, inner in value.items():
            yield from _named(inner, name)
    elif isinstance(value, list):
        for item in value:
            if key == "imagePullSecrets" and isinstance(item, Mapping) and item.get("name"):
                yield item["name"], ""
            yield from _named(item, key)


def _pods(value: Any) -> Iterator[Mapping[str, Any]]:
    """Pod specs, however deep."""
    if isinstance(value, Mapping):
        if isinstance(value.get("containers"), list):
            yield value
        for inner in value.values():
            yield from _pods(inner)
    elif isinstance(value, list):
        for item in value:
            yield from _pods(item)
