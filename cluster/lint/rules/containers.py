"""Containers by themselves, wherever they are; the rules and their source are those of `pods`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from cluster.lint.findings import Finding
from cluster.lint.manifest import Manifest, at, error, items, mapping, mappings, note, warning
from cluster.lint.quantities import amount
from cluster.lint.words import closest, listed
from cluster.lint.world import Pods
from cluster.lint.yaml_text import Path

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_PORT_NAME = re.compile(r"(?=.*[a-z])(?!.*--)[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?")
_HANDLERS = ("httpGet", "exec", "tcpSocket", "grpc")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_DEFAULT_GRACE_S = 30
_SLEEP = re.compile(r"\bsleep\s+(\d+)\b")
_NATIVE = ("cpu", "memory", "ephemeral-storage")


def check_container(pods: Pods, path: Path, container: Mapping[str, Any]) -> Iterator[Finding]:
    """What the API server, or the kubelet, would not take of one container."""
    owner, name = pods.owner, str(container.get("name", ""))
    if name and not _DNS_LABEL.fullmatch(name):
        yield error(
            "pods/name",
            owner,
            (*path, "name"),
            f"{name!r} is no container's name",
            "use small letters, digits and -",
        )
    if "image" in container and not container["image"]:
        yield error("pods/image", owner, (*path, "image"), f"{name} has an empty image", "name one")
    elif "image" not in container:
        yield error("pods/image", owner, path, f"{name} has no image", "add image")
    policy = container.get("imagePullPolicy")
    if isinstance(policy, str) and policy and policy not in ("Always", "IfNotPresent", "Never"):
        yield not_among(owner, (*path, "imagePullPolicy"), policy, ("Always", "IfNotPresent", "Never"))
    yield from _env(owner, path, container)
    yield from _ports(owner, path, container)
    yield from _mounts(pods, path, container)
    yield from _resources(owner, path, container)
    yield from _end(pods, path, container)
    for key in _PROBES:
        if isinstance(container.get(key), Mapping):
            yield from _probe(pods, (*path, key), key, container[key], container)
    context = {**mapping(pods.spec.get("securityContext")), **mapping(container.get("securityContext"))}
    if context.get("runAsNonRoot") is True and context.get("runAsUser") == 0:
        where = (
            (*path, "securityContext")
            if "securityContext" in container
            else (*pods.spec_path, "securityContext")
        )
        yield error(
            "pods/security",
            owner,
            where,
            "runAsNonRoot with runAsUser 0, which is root: it never starts",
            "use another user",
        )


def resources_of(container: Mapping[str, Any], name: str) -> float | None:
    """What a container may count on: its request, else its limit; None if it names neither."""
    for key in ("requests", "limits"):
        found = amount(mapping(at(container, "resources", key)).get(name))
        if found is not None:
            return found
    return None


def grace_s(pods: Pods) -> float:
    """Seconds that the pods have to end."""
    value = pods.spec.get("terminationGracePeriodSeconds")
    return float(value) if isinstance(value, (int, float)) else _DEFAULT_GRACE_S


def not_among(owner: Manifest, path: Path, value: str, known: tuple[str, ...]) -> Finding:
    """A value that is none of the few that are allowed."""
    meant = closest(value, known)
    fix = f"did you mean {meant}?" if meant else f"write one of {listed(known)}"
    return error("schema/value", owner, path, f"{value!r} is none of the values that are allowed", fix)


def _env(owner: Manifest, path: Path, container: Mapping[str, Any]) -> Iterator[Finding]:
    seen: set[str] = set()
    for index, entry in mappings(container.get("env")):
        where = (*path, "env", index)
        if entry.get("value") and entry.get("valueFrom"):
            yield error(
                "pods/env",
                owner,
                where,
                f"{entry.get('name')} has both value and valueFrom",
                "keep one of the two",
            )
        if str(entry.get("name")) in seen:
            yield warning(
                "pods/env",
                owner,
                where,
                f"{entry.get('name')} is set twice: the later one counts",
                "keep one of them",
            )
        seen.add(str(entry.get("name")))


def _ports(owner: Manifest, path: Path, container: Mapping[str, Any]) -> Iterator[Finding]:
    seen: set[str] = set()
    for index, port in mappings(container.get("ports")):
        where, name, number = (*path, "ports", index), port.get("name"), port.get("containerPort")
        if isinstance(number, int) and not 1 <= number <= 65535:
            yield error(
                "pods/port", owner, (*where, "containerPort"), f"{number} is no port", "write 1 to 65535"
            )
        if isinstance(name, str) and not _PORT_NAME.fullmatch(name):
            message = f"{name!r} is no port's name: at most 15 small letters, digits and -"
            yield error(
                "pods/port",
                owner,
                (*where, "name"),
                message,
                f"write {name.lower()[:15].strip('-_').replace('_', '-')}",
            )
        if name is not None and str(name) in seen:
            yield error("pods/port", owner, (*where, "name"), f"a second port named {name!r}", "rename one")
        seen.add(str(name))
        protocol = port.get("protocol")
        if isinstance(protocol, str) and protocol not in ("TCP", "UDP", "SCTP"):
            yield not_among(owner, (*where, "protocol"), protocol, ("TCP", "UDP", "SCTP"))


def _mounts(pods: Pods, path: Path, container: Mapping[str, Any]) -> Iterator[Finding]:
    names = [str(volume.get("name")) for _, volume in mappings(pods.spec.get("volumes"))]
    names += [
        str(at(claim, "metadata", "name"))
        for _, claim in mappings(pods.owner.get("spec", "volumeClaimTemplates"))
    ]
    seen: set[str] = set()
    for index, mount in mappings(container.get("volumeMounts")):
        where, name = (*path, "volumeMounts", index), str(mount.get("name"))
        if name not in names and "name" in mount:
            meant = closest(name, names)
            fix = f"did you mean {meant}?" if meant else "add the volume"
            yield error("pods/volume", pods.owner, (*where, "name"), f"there is no volume {name!r}", fix)
        if str(mount.get("mountPath")) in seen:
            yield error(
                "pods/volume",
                pods.owner,
                (*where, "mountPath"),
                f"a second mount at {mount.get('mountPath')}",
                "move one",
            )
        seen.add(str(mount.get("mountPath")))


def _resources(owner: Manifest, path: Path, container: Mapping[str, Any]) -> Iterator[Finding]:
    requests, limits = (mapping(at(container, "resources", key)) for key in ("requests", "limits"))
    for name in {**requests, **limits}:
        request, limit = amount(requests.get(name)), amount(limits.get(name))
        where = (*path, "resources", "requests" if name in requests else "limits", name)
        if request is not None and limit is not None and request > limit:
            message = f"requests {requests[name]} of {name}, above the limit {limits[name]}"
            yield error(
                "pods/resources",
                owner,
                where,
                message,
                f"lower the request, or raise the limit to {requests[name]}",
            )
        if "/" not in name:
            if name not in _NATIVE and not name.startswith(("hugepages-", "attachable-volumes-")):
                meant = closest(name, (*_NATIVE, "nvidia.com/gpu"))
                fix = (
                    f"did you mean {meant}?"
                    if meant
                    else "write cpu, memory, ephemeral-storage, or a device's full name"
                )
                yield error("pods/resources", owner, where, f"{name} is no resource", fix)
            continue
        yield from _device(owner, where, name, request, limit)


def _device(
    owner: Manifest, where: Path, name: str, request: float | None, limit: float | None
) -> Iterator[Finding]:
    if request is not None and limit is None:
        yield error(
            "pods/resources",
            owner,
            where,
            f"{name} is requested without a limit; a device needs both alike",
            f"add limits.{name}",
        )
    elif request is not None and limit is not None and request < limit:
        yield error(
            "pods/resources",
            owner,
            where,
            f"{name} has a request below its limit; a device is not shared",
            "make them alike",
        )
    count = limit if limit is not None else request
    if count is not None and not float(count).is_integer():
        yield error(
            "pods/resources",
            owner,
            where,
            f"{count:g} of {name}: devices come whole",
            f"write {max(1, round(count))}",
        )


def _probe(
    pods: Pods, path: Path, key: str, probe: Mapping[str, Any], container: Mapping[str, Any]
) -> Iterator[Finding]:
    owner = pods.owner
    handlers = [name for name in _HANDLERS if probe.get(name) is not None]
    # KubeRay gives Ray's own containers the check that such a probe lacks.
    if len(handlers) > 1 or not (handlers or pods.role):
        what = f"more than one check: {listed(handlers)}" if handlers else "no check"
        yield error(
            "pods/probe", owner, path, f"{key} has {what}", f"give exactly one of {listed(_HANDLERS)}"
        )
    if key != "readinessProbe" and probe.get("successThreshold", 1) != 1:
        yield error(
            "pods/probe",
            owner,
            (*path, "successThreshold"),
            f"successThreshold of a {key} must be 1",
            "write 1",
        )
    for name in handlers:
        port = mapping(probe[name]).get("port")
        if isinstance(port, int):
            yield from _probed_number(pods, (*path, name, "port"), key, port)
        named = [str(each.get("name")) for _, each in mappings(container.get("ports"))]
        if (
            isinstance(port, str)
            and not port.isdigit()
            and port not in named
            and not (pods.role and port in pods.port_names())
        ):
            meant = closest(port, named)
            message = f"{key} asks the port {port!r}, and the container names no such port"
            yield error(
                "pods/probe",
                owner,
                (*path, name, "port"),
                message,
                f"did you mean {meant}?" if meant else "name the port in ports",
            )
    timeout, period = probe.get("timeoutSeconds", 1), probe.get("periodSeconds", 10)
    if isinstance(timeout, int) and isinstance(period, int) and 0 < period < timeout:
        message = f"{key} waits {timeout} s for an answer and asks every {period} s"
        yield note("pods/probe", owner, (*path, "timeoutSeconds"), message, f"write at most {period}")


def _probed_number(pods: Pods, path: Path, key: str, number: int) -> Iterator[Finding]:
    """A number that no container gives as its port, nor says anywhere else."""
    known = pods.known_ports()
    if known and number not in known and not pods.mentions(number):
        shown = listed(str(port) for port in sorted(known))
        message = f"{key} asks the port {number}, and the containers have {shown}: nothing would answer"
        yield warning("pods/probe", pods.owner, path, message, f"use one of {shown}, or list the port")


def _end(pods: Pods, path: Path, container: Mapping[str, Any]) -> Iterator[Finding]:
    """A hook before the end that takes all the time that there is."""
    hook = mapping(at(container, "lifecycle", "preStop"))
    seconds = at(hook, "sleep", "seconds")
    if seconds is None:
        match = _SLEEP.search(" ".join(str(part) for part in items(at(hook, "exec", "command"))))
        seconds = int(match[1]) if match else None
    if isinstance(seconds, int) and seconds >= grace_s(pods):
        message = f"preStop waits {seconds} s, and the pod has {grace_s(pods):g} s to end: it is killed while it waits"
        where = (*path, "lifecycle", "preStop")
        yield warning(
            "pods/grace", pods.owner, where, message, f"set terminationGracePeriodSeconds above {seconds}"
        )
