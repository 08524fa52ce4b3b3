"""Pod templates by themselves: what the API server checks in code and no schema says, whoever makes the pods.

The rules are those of pkg/apis/core/validation in kubernetes/kubernetes. In a custom resource the API server lets these
pass, and the operator then makes no pod.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from cluster.lint.findings import Finding
from cluster.lint.manifest import error, mapping, mappings, texts, warning
from cluster.lint.rules.containers import check_container, not_among
from cluster.lint.words import listed
from cluster.lint.world import Pods, World, selects

# Values that the API's documentation lists, and its OpenAPI does not.
_POD_VALUES = {
    "restartPolicy": ("Always", "OnFailure", "Never"),
    "dnsPolicy": ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"),
    "preemptionPolicy": ("PreemptLowerPriority", "Never"),
}
_ARCHITECTURES = {
    "arm64": re.compile(r":[^@]*\b(aarch64|arm64)(?![a-z0-9])", re.IGNORECASE),
    "amd64": re.compile(r":[^@]*\b(x86[_-]64|amd64)(?![a-z0-9])", re.IGNORECASE),
}
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def check(world: World) -> Iterator[Finding]:
    for pods in world.pods:
        yield from _spec(pods)
        for path, container in pods.containers(with_init=True):
            yield from check_container(pods, path, container)
        yield from _architecture(pods)
        yield from _controller(pods)


def _spec(pods: Pods) -> Iterator[Finding]:
    owner, spec, path = pods.owner, pods.spec, pods.spec_path
    for key, known in _POD_VALUES.items():
        value = spec.get(key)
        if isinstance(value, str) and value not in known:
            yield not_among(owner, (*path, key), value, known)
    names: dict[str, str] = {}
    for key in ("containers", "initContainers"):
        for index, container in mappings(spec.get(key)):
            name = str(container.get("name", ""))
            if name in names:
                yield error(
                    "pods/name",
                    owner,
                    (*path, key, index, "name"),
                    f"a second container named {name!r}",
                    "rename one",
                )
            names[name] = key
    volumes: set[str] = set()
    for index, volume in mappings(spec.get("volumes")):
        name = str(volume.get("name", ""))
        if name in volumes:
            yield error(
                "pods/volume",
                owner,
                (*path, "volumes", index),
                f"a second volume named {name!r}",
                "rename one",
            )
        volumes.add(name)
        if len(set(volume) - {"name"}) > 1:
            sources = listed(sorted(set(volume) - {"name"}))
            yield error(
                "pods/volume",
                owner,
                (*path, "volumes", index),
                f"the volume {name!r} has more than one source: {sources}",
                "keep one",
            )
    yield from _tolerations(pods)
    yield from _spread(pods)


def _tolerations(pods: Pods) -> Iterator[Finding]:
    for index, toleration in mappings(pods.spec.get("tolerations")):
        path = (*pods.spec_path, "tolerations", index)
        operator, effect = toleration.get("operator", "Equal"), toleration.get("effect")
        if operator not in ("Equal", "Exists", "Lt", "Gt"):
            yield not_among(pods.owner, (*path, "operator"), str(operator), ("Equal", "Exists"))
        if effect and effect not in _EFFECTS:
            yield not_among(pods.owner, (*path, "effect"), str(effect), _EFFECTS)
        if operator == "Exists" and toleration.get("value"):
            message = "a toleration with operator Exists has no value"
            yield error(
                "pods/toleration", pods.owner, path, message, "remove the value, or write operator: Equal"
            )
        if not toleration.get("key") and operator != "Exists":
            yield error(
                "pods/toleration",
                pods.owner,
                path,
                "a toleration without a key tolerates only with operator Exists",
                "add the key",
            )


def _spread(pods: Pods) -> Iterator[Finding]:
    for index, constraint in mappings(pods.spec.get("topologySpreadConstraints")):
        path = (*pods.spec_path, "topologySpreadConstraints", index)
        value = constraint.get("whenUnsatisfiable")
        if isinstance(value, str) and value not in ("DoNotSchedule", "ScheduleAnyway"):
            yield not_among(
                pods.owner, (*path, "whenUnsatisfiable"), value, ("DoNotSchedule", "ScheduleAnyway")
            )
        selector = constraint.get("labelSelector")
        if isinstance(selector, Mapping) and not selects(selector, pods):
            message = f"spreads other pods than {pods.what}: the selector does not take them"
            yield warning(
                "selectors/spread",
                pods.owner,
                (*path, "labelSelector"),
                message,
                "select the labels of these pods",
            )


def _architecture(pods: Pods) -> Iterator[Finding]:
    """What an image's tag says it was built for, against the nodes that are asked for."""
    asked = texts(pods.spec.get("nodeSelector")).get("kubernetes.io/arch")
    for path, container in pods.containers(with_init=True):
        image = str(container.get("image", ""))
        named = next((arch for arch, word in _ARCHITECTURES.items() if word.search(image)), asked)
        if asked is not None and named != asked:
            message = (
                f"{image} is for {named}, and the nodes that are asked for are {asked}: it does not start"
            )
            fix = f"use an image for {asked}, or nodes of {named}"
            yield warning("pods/image", pods.owner, (*path, "image"), message, fix)


def _controller(pods: Pods) -> Iterator[Finding]:
    owner, kind = pods.owner, pods.owner.kind
    policy = pods.spec.get("restartPolicy")
    where = (*pods.spec_path, "restartPolicy")
    if kind in ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet") and policy not in (None, "Always"):
        yield error(
            "pods/restart",
            owner,
            where,
            f"restartPolicy {policy} of a {kind}: only Always is taken",
            "remove it",
        )
    if kind in ("Job", "CronJob") and policy not in ("Never", "OnFailure"):
        yield error(
            "pods/restart",
            owner,
            where,
            f"a {kind} needs restartPolicy Never or OnFailure",
            "write one of them",
        )
    if kind in ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"):
        selector = owner.get("spec", "selector")
        if isinstance(selector, Mapping) and not selects(selector, pods):
            wanted = texts(selector.get("matchLabels"))
            off = [key for key, value in wanted.items() if not pods.has_label(key, value)]
            message = f"the selector does not take the pods of the template: they differ in {listed(off) or 'labels'}"
            yield error(
                "selectors/own",
                owner,
                ("spec", "selector"),
                message,
                "give the template the labels of the selector",
            )
    if kind == "Deployment":
        rolling = mapping(owner.get("spec", "strategy", "rollingUpdate"))
        if {str(rolling.get("maxSurge", 1)), str(rolling.get("maxUnavailable", 1))} <= {
            "0",
            "0%",
        } and rolling:
            message = "maxSurge and maxUnavailable are both 0: no pod could ever be replaced"
            yield error(
                "pods/rollout", owner, ("spec", "strategy", "rollingUpdate"), message, "set maxSurge: 1"
            )
