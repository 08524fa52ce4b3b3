"""Ray clusters from inside: start parameters, versions, and what Ray believes to have against what its pods have."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cluster.lint.findings import Finding
from cluster.lint.manifest import at, error, mapping, warning
from cluster.lint.quantities import amount, gib
from cluster.lint.rules.kuberay_cluster import version_of
from cluster.lint.words import closest
from cluster.lint.world import RayCluster, RayGroup, World
from cluster.lint.yaml_text import Path

# Options of `ray start`, of Ray 2.60 and of former Rays: python/ray/scripts/scripts.py in ray-project/ray.
_START_PARAMS = {
    "address", "autoscaling-config", "block", "cgroup-path", "dashboard-agent-grpc-port", "dashboard-agent-listen-port",
    "dashboard-grpc-port", "dashboard-host", "dashboard-port", "disable-usage-stats", "enable-object-reconstruction",
    "enable-resource-isolation", "gcs-server-port", "head", "include-dashboard", "include-log-monitor", "labels",
    "labels-file", "log-color", "log-style", "max-worker-port", "memory", "metrics-export-port", "min-worker-port",
    "no-monitor", "no-redirect-output", "node-ip-address", "node-manager-port", "node-name", "num-cpus", "num-gpus",
    "object-manager-port", "object-spilling-directory", "object-store-memory", "plasma-directory",
    "plasma-store-socket-name", "port", "proxy-server-url", "ray-client-server-port", "ray-debugger-external",
    "raylet-socket-name", "redis-max-clients", "redis-password", "redis-shard-ports", "redis-username", "resources",
    "runtime-env-agent-port", "storage", "system-config", "system-reserved-cpu", "system-reserved-memory", "temp-dir",
    "tracing-startup-hook", "verbose", "worker-port-list",
}  # fmt: skip
# `rayproject/ray:2.52.0-py312`, and images of one's own that say it in the tag: `chat:1.4-ray2.52.0`
_RAY_IMAGE = re.compile(
    r"(?:(?:^|/)ray(?:-ml|-llm)?:|:[\w.-]*?(?<![a-z])ray[-_]?|(?:^|/)ray[-_])(?P<version>\d+\.\d+\.\d+)(?!\d)"
)


_PYTHON = re.compile(r"(?:^|[-_.])py(?P<version>3\d{1,2})(?!\d)")


@dataclass(frozen=True)
class Capacity:
    """What Ray believes a pod of the group has. None: Ray finds out on the node.

    Args:
        others: custom resources by name.
        is_open: has devices whose resources only Ray itself can name.
    """

    cpus: float | None
    gpus: float | None
    memory_bytes: float | None
    others: Mapping[str, float]
    is_open: bool

    def lacks(self, need: Mapping[str, float]) -> list[str]:
        """What is needed and not there, `num_gpus 2 of 1`."""
        have = {"num_cpus": self.cpus, "num_gpus": self.gpus, "memory": self.memory_bytes}
        found = []
        for name, number in need.items():
            there = have[name] if name in have else self.others.get(name, None if self.is_open else 0.0)
            if there is not None and number > there:
                found.append(f"{name} {number:g} of {there:g}")
        return found


def check(world: World) -> Iterator[Finding]:
    for cluster in world.ray_clusters:
        for group in cluster.groups:
            yield from _start_params(group)
            yield from _logical(group)
        yield from _versions(cluster)


def capacity(group: RayGroup) -> Capacity:
    """As KubeRay's operator derives it: rayStartParams or the group's resources, else the container's."""
    params, main = group.start_params, group.pods.main
    limits, requests = (mapping(at(main, "resources", key)) for key in ("limits", "requests"))
    named = {str(key): amount(value) for key, value in mapping(group.spec.get("resources")).items()}
    cpus = _first(params.get("num-cpus"), named.get("CPU"))
    if cpus is None:
        cpus = _first(limits.get("cpu"), requests.get("cpu"))
        cpus = None if cpus is None else float(math.ceil(cpus))
    devices = [key for key in {**requests, **limits} if "/" in key]
    gpus = _first(params.get("num-gpus"), named.get("GPU"))
    if gpus is None:
        gpus = sum(
            amount(limits.get(key, requests.get(key))) or 0.0 for key in devices if key.endswith("gpu")
        )
    memory = _first(params.get("memory"), named.get("memory"), limits.get("memory"), requests.get("memory"))
    others = {**(_custom(params.get("resources")) or {}), **{k: v for k, v in named.items() if v is not None}}
    is_open = any(not key.endswith("gpu") for key in devices) or bool(group.pods.spec.get("resourceClaims"))
    return Capacity(cpus, gpus, memory, others, is_open)


def _first(*values: object) -> float | None:
    return next((found for value in values if (found := amount(value)) is not None), None)


def _custom(value: object) -> dict[str, float] | None:
    """`'"{\\"a\\": 1}"'` or plain JSON; None for neither."""
    if not isinstance(value, str):
        return {}
    text = value.strip().strip("'").strip()
    if text.startswith('"') and text.endswith('"'):
        text = text[1:-1]
    try:
        found = json.loads(text.replace('\\"', '"'))
    except json.JSONDecodeError:
        return None
    if not isinstance(found, dict):
        return None
    return {str(key): number for key, item in found.items() if (number := amount(item)) is not None}


def _start_params(group: RayGroup) -> Iterator[Finding]:
    path: Path = (*group.path, "rayStartParams")
    for name, value in group.start_params.items():
        if name not in _START_PARAMS:
            meant = closest(name, _START_PARAMS)
            fix = f"did you mean {meant}?" if meant else "remove it"
            message = f"`ray start` has no option --{name}: the pod of {group.name} ends at once"
            yield error("ray/start-param", group.pods.owner, (*path, name), message, fix)
        elif (
            name in ("num-cpus", "num-gpus", "memory", "object-store-memory")
            and value
            and amount(value) is None
        ):
            message = f"{value!r} of {name} is no number"
            yield error(
                "ray/start-param", group.pods.owner, (*path, name), message, "write a number in quotes"
            )
    if _custom(group.start_params.get("resources")) is None:
        message = "resources is no JSON: `ray start` ends at once"
        fix = """write resources: '"{\\\\"name\\\\": 1}"'"""
        yield error("ray/start-param", group.pods.owner, (*path, "resources"), message, fix)


def _logical(group: RayGroup) -> Iterator[Finding]:
    """What Ray is told, against what its container has."""
    owner, path = group.pods.owner, (*group.path, "rayStartParams")
    limits = mapping(at(group.pods.main, "resources", "limits"))
    told = {name: amount(group.start_params.get(name)) for name in ("num-cpus", "num-gpus", "memory")}
    for name, resource in (("num-cpus", "cpu"), ("memory", "memory")):
        given, has = told[name], amount(limits.get(resource))
        if given is not None and has is not None and given > math.ceil(has):
            shown = (f"{given:g}", f"{has:g}") if name == "num-cpus" else (gib(given), gib(has))
            message = f"Ray is told of {name} {shown[0]}, and the container of {group.name} has {shown[1]}"
            yield warning(
                "ray/resources", owner, (*path, name), message, f"write at most {shown[1]}, or leave it out"
            )
    gpus = [amount(number) or 0.0 for key, number in limits.items() if key.endswith("/gpu")]
    if told["num-gpus"] is not None and gpus and told["num-gpus"] > sum(gpus):
        message = (
            f"Ray is told of {told['num-gpus']:g} GPUs, and the container of {group.name} has {sum(gpus):g}"
        )
        yield error(
            "ray/resources", owner, (*path, "num-gpus"), message, f"write {sum(gpus):g}, or leave it out"
        )
    if told["num-gpus"] == 0 and sum(gpus) > 0:
        message = f"{group.name} holds {sum(gpus):g} GPUs, and Ray is told of none: nothing will use them"
        yield warning("ray/resources", owner, (*path, "num-gpus"), message, "leave it out")


def _versions(cluster: RayCluster) -> Iterator[Finding]:
    """One Ray in all pods, and the one that KubeRay is told of."""
    owner, wanted = cluster.owner, cluster.spec.get("rayVersion")
    found = [(group, _image_version(group)) for group in cluster.groups]
    head = found[0][1]
    for group, version in found[1:]:
        if version is not None and head is not None and version != head:
            message = f"{group.name} runs Ray {version} and the head {head}: Ray lets no other version join"
            path = (*group.pods.main_path, "image")
            yield error("ray/version", owner, path, message, f"use the image of {head} for both")
    yield from _pythons(cluster)
    if isinstance(wanted, str) and head is not None and version_of(wanted) not in (None, version_of(head)):
        message = f"rayVersion is {wanted}, and the head's image has Ray {head}: KubeRay acts as for {wanted}"
        yield warning(
            "ray/version", owner, (*cluster.path, "rayVersion"), message, f"write rayVersion: {head}"
        )


def _pythons(cluster: RayCluster) -> Iterator[Finding]:
    """One Python in all pods, as far as the images' tags say."""
    tags = [(group, str(group.pods.main.get("image", "")).rpartition(":")[2]) for group in cluster.groups]
    found = [(group, match["version"]) for group, tag in tags if (match := _PYTHON.search(tag)) is not None]
    for group, version in found[1:]:
        first, wanted = found[0]
        if version != wanted:
            message = f"{group.name} runs Python {version[0]}.{version[1:]} and {first.name} {wanted[0]}.{wanted[1:]}"
            path = (*group.pods.main_path, "image")
            fix = f"use an image of Python {wanted[0]}.{wanted[1:]} for all"
            yield error("ray/version", cluster.owner, path, f"{message}: Ray lets no other join", fix)


def _image_version(group: RayGroup) -> str | None:
    image = group.pods.main.get("image")
    match = _RAY_IMAGE.search(image) if isinstance(image, str) else None
    return match["version"] if match else None
