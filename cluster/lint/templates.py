"""Parts of objects of any kind that are Kubernetes' or KubeRay's own: templates of pods, containers, Ray clusters.

Knows no kinds: it is for those that nobody here knows (LeaderWorkerSet, StormService, Rollout, JobSet; KServe's, whose
pods have no template; AIBrix's RayClusterFleet, which holds the spec of a RayCluster).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from cluster.lint.yaml_text import Path

_DEEPEST = 12
_CONTAINERS = ("containers", "initContainers")


def pod_templates(value: Any, path: Path = ()) -> Iterator[Path]:
    """The paths of all templates of pods within the value."""
    return _parts(value, path, lambda key, item: key.lower().endswith("template") and _is_template(item))


def ray_specs(value: Any, path: Path = ()) -> Iterator[Path]:
    """The paths of all specs of RayClusters within the value."""
    return _parts(
        value, path, lambda _, item: isinstance(item, Mapping) and _is_head(item.get("headGroupSpec"))
    )


def container_lists(value: Any, path: Path = ()) -> Iterator[Path]:
    """The paths of all lists of containers within the value that are in no template of pods."""
    templates = set(pod_templates(value, path))
    for found in _parts(value, path, lambda key, item: key in _CONTAINERS and _are_containers(item)):
        if not any(found[: len(one)] == one for one in templates):
            yield found


def _parts(value: Any, path: Path, is_one: Callable[[str, Any], bool]) -> Iterator[Path]:
    """The paths of what is such a one, by its key (in a list: none) and itself; what is within it is not looked at."""
    if len(path) > _DEEPEST:
        return
    if isinstance(value, Mapping):
        for key, item in value.items():
            here = (*path, str(key))
            if key == "openAPIV3Schema":
                continue  # a CRD's: it speaks of templates, and has none
            if is_one(str(key), item):
                yield here
            else:
                yield from _parts(item, here, is_one)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if is_one("", item):
                yield (*path, index)
            else:
                yield from _parts(item, (*path, index), is_one)


def _is_head(value: Any) -> bool:
    return isinstance(value, Mapping) and isinstance(value.get("template"), Mapping)


def _are_containers(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(each, Mapping) and isinstance(each.get("name"), str) for each in value)
    )


def _is_template(value: Any) -> bool:
    spec = value.get("spec") if isinstance(value, Mapping) and set(value) <= {"metadata", "spec"} else None
    containers = spec.get("containers") if isinstance(spec, Mapping) else None
    return (
        isinstance(containers, list)
        and bool(containers)
        and all(isinstance(each, Mapping) for each in containers)
    )
