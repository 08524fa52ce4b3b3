"""Whether a RayCluster is the version that its RayService asks for, as far as images tell. Pure: reads documents.

KubeRay makes no other RayCluster where `upgradeStrategy.type` is None, or names a strategy that a feature gate of the
operator has switched off; it reports the old one as serving the new generation all the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kuberay.objects import at


def outdated(service: Mapping[str, Any], ray_cluster: Mapping[str, Any]) -> str:
    """The first group whose containers have other images than are wanted, in words; empty: there is none."""
    running = dict(_images(at(ray_cluster, "spec") or {}))
    for group, wanted in _images(at(service, "spec", "rayClusterConfig") or {}):
        found = running.get(group)
        if found is not None and found != wanted:
            return f"{group} runs {', '.join(found)}, not {', '.join(wanted)}"
    return ""


def _images(config: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    groups = [("the head", at(config, "headGroupSpec") or {})]
    groups += [(f"group {one.get('groupName')}", one) for one in at(config, "workerGroupSpecs") or ()]
    for name, group in groups:
        if containers := at(group, "template", "spec", "containers"):
            yield name, [str(one.get("image") or "") for one in containers]
