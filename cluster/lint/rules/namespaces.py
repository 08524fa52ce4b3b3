"""Pod Security Standards that a namespace enforces, against the pods in it; and objects that are there twice.

https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cluster.lint.findings import Finding
from cluster.lint.manifest import Manifest, at, error, items, mapping, mappings, note, warning
from cluster.lint.words import listed
from cluster.lint.world import Pods, World
from cluster.lint.yaml_text import Path

_ENFORCE = "pod-security.kubernetes.io/enforce"
_HOST = ("hostNetwork", "hostPID", "hostIPC")
_ADDABLE = {
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
    "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
}  # fmt: skip
_RESTRICTED_VOLUMES = {
    "name", "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
    "image",
}  # fmt: skip


def check(world: World) -> Iterator[Finding]:
    yield from _twice(world)
    levels = {
        manifest.name: manifest.labels.get(_ENFORCE, "privileged") for manifest in world.of("Namespace")
    }
    for manifest in world.of("Namespace"):
        level = manifest.labels.get(_ENFORCE, "privileged")
        if level not in ("privileged", "baseline", "restricted"):
            path = ("metadata", "labels", _ENFORCE)
            fix = "write privileged, baseline or restricted"
            yield error("security/level", manifest, path, f"{level!r} is no level of Pod Security", fix)
    for pods in world.pods:
        level = levels.get(pods.namespace, "privileged")
        if level in ("baseline", "restricted"):
            yield from _refused(pods, level)


def _refused(pods: Pods, level: str) -> Iterator[Finding]:
    broken = list(_baseline(pods))
    if level == "restricted":
        broken.extend(_restricted(pods))
    for path, what, fix in broken:
        message = f"the namespace {pods.namespace} enforces {level}, which refuses {pods.what}: {what}"
        yield error("security/refused", pods.owner, path, message, fix)


def _baseline(pods: Pods) -> Iterator[tuple[Path, str, str]]:
    for key in _HOST:
        if pods.spec.get(key) is True:
            yield (*pods.spec_path, key), key, "remove it"
    for index, volume in mappings(pods.spec.get("volumes")):
        if "hostPath" in volume:
            yield (
                (*pods.spec_path, "volumes", index),
                f"the hostPath volume {volume.get('name')}",
                "use an emptyDir or a claim",
            )
    for path, container in pods.containers(with_init=True):
        context = mapping(container.get("securityContext"))
        name = container.get("name")
        if context.get("privileged") is True:
            yield (*path, "securityContext", "privileged"), f"{name} is privileged", "remove it"
        added = set(map(str, items(at(context, "capabilities", "add")))) - _ADDABLE
        if added:
            yield (
                (*path, "securityContext", "capabilities"),
                f"{name} adds {listed(sorted(added))}",
                "remove them",
            )
        for _, port in mappings(container.get("ports")):
            if port.get("hostPort"):
                yield (*path, "ports"), f"{name} takes a port of the host", "remove hostPort"


def _restricted(pods: Pods) -> Iterator[tuple[Path, str, str]]:
    for index, volume in mappings(pods.spec.get("volumes")):
        others = set(volume) - _RESTRICTED_VOLUMES - {"hostPath"}
        if others:
            yield (
                (*pods.spec_path, "volumes", index),
                f"the volume {volume.get('name')} is a {listed(sorted(others))}",
                "use another kind",
            )
    whole = mapping(pods.spec.get("securityContext"))
    for path, container in pods.containers(with_init=True):
        yield from _container(path, container, whole)


def _container(
    path: Path, container: Mapping[str, Any], whole: Mapping[str, Any]
) -> Iterator[tuple[Path, str, str]]:
    own, name = mapping(container.get("securityContext")), container.get("name")
    where = (*path, "securityContext") if own else path
    if own.get("allowPrivilegeEscalation") is not False:
        yield (
            where,
            f"{name} may escalate its privileges",
            "set securityContext.allowPrivilegeEscalation: false",
        )
    if own.get("runAsNonRoot", whole.get("runAsNonRoot")) is not True:
        yield where, f"{name} may run as root", "set securityContext.runAsNonRoot: true"
    profile = at(own, "seccompProfile", "type") or at(whole, "seccompProfile", "type")
    if profile not in ("RuntimeDefault", "Localhost"):
        yield (
            where,
            f"{name} has no seccomp profile",
            "set securityContext.seccompProfile.type: RuntimeDefault",
        )
    if "ALL" not in items(at(own, "capabilities", "drop")):
        yield where, f"{name} keeps capabilities", "set securityContext.capabilities.drop: [ALL]"


def _twice(world: World) -> Iterator[Finding]:
    seen: dict[tuple[str, str, str, str], Manifest] = {}
    for manifest in world.manifests:
        if at(manifest.data, "metadata", "generateName") and not at(manifest.data, "metadata", "name"):
            continue
        other = seen.setdefault(manifest.identity, manifest)
        if other is manifest:
            continue
        # Folders of examples have many of one name; within one file they are applied one after the other.
        say = warning if other.file == manifest.file else note
        first = other.place()
        message = (
            f"is there twice: the first one is at {first.file}:{first.line}, and the later one replaces it"
        )
        yield say("schema/twice", manifest, ("metadata", "name"), message, "keep one of them")
