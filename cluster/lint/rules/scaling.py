"""Who scales what: autoscalers' targets, their bounds, and what they measure. Ray's own bounds are with Ray's rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cluster.lint.findings import Finding
from cluster.lint.manifest import Manifest, at, error, mapping, mappings, note, warning
from cluster.lint.rules.containers import resources_of
from cluster.lint.words import closest
from cluster.lint.world import Pods, World, same_namespace

_KEDA_MOST = 100  # maxReplicaCount of a ScaledObject that names none


def check(world: World) -> Iterator[Finding]:
    for manifest in world.of("HorizontalPodAutoscaler"):
        yield from _bounds(manifest, "minReplicas", "maxReplicas", default_most=None)
        target = _target(world, manifest)
        yield from _missing(world, manifest, target)
        if target is not None:
            yield from _utilization(world, manifest, target)
    for manifest in world.of("ScaledObject"):
        # min above max is a rule of the CRD already.
        yield from _idle(manifest)
        yield from _missing(world, manifest, _target(world, manifest))
    for manifest in world.of("ScaledJob"):
        yield from _bounds(manifest, "minReplicaCount", "maxReplicaCount", default_most=_KEDA_MOST)
    yield from _shared_targets(world)
    for cluster in world.ray_clusters:
        for group in cluster.workers:
            yield from _replicas_within(
                group.pods.owner, group.path, group.spec, is_autoscaled=cluster.is_autoscaled
            )


def _bounds(
    manifest: Manifest, least_key: str, most_key: str, *, default_most: int | None
) -> Iterator[Finding]:
    least, most = manifest.get("spec", least_key), manifest.get("spec", most_key)
    most = default_most if most is None else most
    if isinstance(least, int) and isinstance(most, int) and least > most:
        message = f"{least_key} {least} is above {most_key} {most}"
        yield error(
            "scaling/min-max",
            manifest,
            ("spec", least_key),
            message,
            f"lower it, or raise {most_key} to {least}",
        )


def _idle(manifest: Manifest) -> Iterator[Finding]:
    idle, least = manifest.get("spec", "idleReplicaCount"), manifest.get("spec", "minReplicaCount")
    if isinstance(idle, int) and idle >= (least if isinstance(least, int) else 0):
        message = f"idleReplicaCount {idle} is not below minReplicaCount {least or 0}: KEDA refuses it"
        yield error(
            "scaling/idle",
            manifest,
            ("spec", "idleReplicaCount"),
            message,
            "write 0, and minReplicaCount above it",
        )


def _reference(manifest: Manifest) -> tuple[str, str]:
    reference = mapping(manifest.get("spec", "scaleTargetRef"))
    return str(reference.get("kind", "Deployment")), str(reference.get("name", ""))


def _target(world: World, manifest: Manifest) -> Manifest | None:
    kind, name = _reference(manifest)
    return world.find(kind, manifest.namespace, name)


def _missing(world: World, manifest: Manifest, target: Manifest | None) -> Iterator[Finding]:
    if target is not None:
        return
    kind, name = _reference(manifest)
    path = ("spec", "scaleTargetRef", "name")
    near = [each for each in world.manifests if same_namespace(each.namespace, manifest.namespace)]
    message = f"scales {kind} {name}, which is not among these files"
    same_name = next(
        (each for each in near if each.name == name and each.kind in ("Deployment", "StatefulSet")), None
    )
    meant = closest(name, [each.name for each in near if each.kind == kind], 0.75)
    if same_name is not None:
        yield warning("references/missing", manifest, path, message, f"did you mean {same_name.kind} {name}?")
    elif meant is not None:
        yield warning("references/missing", manifest, path, message, f"did you mean {meant}?")
    elif any(each.kind == kind for each in near):
        yield warning("references/missing", manifest, path, message, f"name a {kind} that is")
    else:
        yield note("references/external", manifest, path, message, "make it there first, or add it")


def _utilization(world: World, manifest: Manifest, target: Manifest) -> Iterator[Finding]:
    """A share of what is requested needs requests."""
    pods = next((each for each in world.pods if each.owner is target), None)
    if pods is None:
        return
    for index, metric in mappings(manifest.get("spec", "metrics")):
        resource = mapping(metric.get("resource"))
        if metric.get("type") != "Resource" or at(resource, "target", "type") != "Utilization":
            continue
        name = str(resource.get("name", ""))
        lacking = _without_request(pods, name)
        if lacking:
            message = f"scales by the use of {name}, and the container {lacking} of {pods.what} requests none"
            path = ("spec", "metrics", index, "resource")
            yield error("scaling/requests", manifest, path, message, f"give it resources.requests.{name}")


def _without_request(pods: Pods, name: str) -> str:
    for _, container in pods.containers():
        if resources_of(container, name) is None:
            return str(container.get("name", ""))
    return ""


def _shared_targets(world: World) -> Iterator[Finding]:
    seen: dict[tuple[str, str], Manifest] = {}
    for manifest in world.of("HorizontalPodAutoscaler", "ScaledObject"):
        key = _reference(manifest)
        other = seen.setdefault(key, manifest)
        if other is not manifest and same_namespace(other.namespace, manifest.namespace):
            message = f"scales {key[0]} {key[1]}, which {other.title} scales too: they undo each other's work"
            yield warning("scaling/shared", manifest, ("spec", "scaleTargetRef"), message, "keep one of them")


def _replicas_within(
    owner: Manifest, path: tuple[str | int, ...], spec: Mapping[str, Any], *, is_autoscaled: bool
) -> Iterator[Finding]:
    """What a group starts with; the operator moves it into the bounds without a word."""
    count, least, most = spec.get("replicas"), spec.get("minReplicas", 0), spec.get("maxReplicas")
    if not isinstance(count, int) or not isinstance(least, int):
        return
    name = spec.get("groupName")
    if isinstance(most, int) and least > most:
        return  # said already
    is_below = count < least and not is_autoscaled
    if is_below or (isinstance(most, int) and most < count):
        message = (
            f"the group {name} has replicas {count}, outside of {least} to {most}: KubeRay takes the bound"
        )
        yield warning(
            "scaling/replicas", owner, (*path, "replicas"), message, "write a number within the bounds"
        )
