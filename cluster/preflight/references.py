"""What objects refer to and do not bring: images, and secrets by name. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
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


def secrets_needed(objects: Iterable[Document]) -> list[tuple[str, str, str]]:
    """(namespace, secret, who needs it) of secrets that nothing among the objects makes."""
    objects = list(objects)
    made = set(_made(objects))
    needed: dict[tuple[str, str], str] = {}
    for one in objects:
        namespace = at(one, "metadata", "namespace") or ""
        for name in _named(one):
            if (namespace, name) not in made:
                needed.setdefault((namespace, name), f"{one['kind']} {one['metadata']['name']}")
    return [(namespace, name, who) for (namespace, name), who in sorted(needed.items())]


def _made(objects: Iterable[Document]) -> Iterator[tuple[str, str]]:
    for one in objects:
        namespace = at(one, "metadata", "namespace") or ""
        if one["kind"] == "Secret":
            yield namespace, one["metadata"]["name"]
        elif one["kind"] == "ExternalSecret":
            yield namespace, at(one, "spec", "target", "name") or one["metadata"]["name"]


def _named(value: Any, key: str = "") -> Iterator[str]:
    """Names in secretKeyRef, secretRef, volumes' secret and imagePullSecrets, anywhere in an object."""
    if isinstance(value, Mapping):
        if key in ("secretKeyRef", "secretRef") and value.get("name") and not value.get("optional"):
            yield value["name"]
        elif key == "secret" and value.get("secretName") and not value.get("optional"):
            yield value["secretName"]
        for name, inner in value.items():
            yield from _named(inner, name)
    elif isinstance(value, list):
        for item in value:
            if key == "imagePullSecrets" and isinstance(item, Mapping) and item.get("name"):
                yield item["name"]
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
