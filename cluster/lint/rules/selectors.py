"""Whoever selects pods or services finds some: Services, PodDisruptionBudgets, monitors, routes.

Where none of the pods in a namespace are among the files, nothing is said: they may be somebody else's. Where an
operator makes pods there that are not known here, a miss is only worth a note.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cluster.lint.findings import Finding
from cluster.lint.manifest import Manifest, error, items, mapping, mappings, note, texts, warning
from cluster.lint.words import closest, listed
from cluster.lint.world import Pods, World, same_namespace, selects
from cluster.lint.yaml_text import Path

# Their operators make pods with labels of their own.
_POD_MAKERS = {
    "OpenSearchCluster", "Agent", "SandboxAgent", "AgentHarness", "MCPServer", "Prometheus", "PrometheusAgent",
    "Alertmanager", "ThanosRuler", "LeaderWorkerSet", "HelmRelease", "Application", "ApplicationSet", "Rollout",
    "OpenTelemetryCollector", "InferenceService", "LLMInferenceService", "VLLMRuntime", "Gateway", "Redis", "Cluster",
}  # fmt: skip
_BUDGETED = ("Deployment", "StatefulSet")


def check(world: World) -> Iterator[Finding]:
    for manifest in world.of("Service"):
        if manifest.group == "":
            yield from _service(world, manifest)
    for manifest in world.of("PodDisruptionBudget"):
        yield from _budget(world, manifest)
    for manifest in world.of("PodMonitor"):
        yield from _pod_monitor(world, manifest)
    for manifest in world.of("ServiceMonitor"):
        yield from _service_monitor(world, manifest)
    for manifest in world.of("Ingress"):
        yield from _ingress(world, manifest)
    for manifest in world.of("HTTPRoute", "GRPCRoute"):
        yield from _route(world, manifest)


def _service(world: World, manifest: Manifest) -> Iterator[Finding]:
    path: Path = ("spec", "selector")
    ports = mappings(manifest.get("spec", "ports"))
    seen: set[str] = set()
    for index, port in ports:
        name = str(port.get("name") or "")
        if len(ports) > 1 and not name:
            message = "a Service with several ports names each of them"
            yield error("selectors/port", manifest, ("spec", "ports", index), message, "add name")
        elif name in seen:
            where = ("spec", "ports", index, "name")
            yield error("selectors/port", manifest, where, f"a second port named {name!r}", "rename one")
        seen.add(name)
    wanted = manifest.get(*path)
    if not isinstance(wanted, Mapping) or not wanted:
        return
    found = [pods for pods in world.pods_in(manifest.namespace) if pods.has_labels(texts(wanted))]
    if not found:
        yield from _miss(world, manifest, path, {"matchLabels": wanted}, [manifest.namespace])
        return
    for index, port in ports:
        target = port.get("targetPort", port.get("port"))
        path = ("spec", "ports", index, "targetPort" if "targetPort" in port else "port")
        if isinstance(target, str) and not target.isdigit():
            yield from _named_port(manifest, path, target, found)
        elif isinstance(target, int):
            yield from _numbered_port(manifest, path, target, found)


def _numbered_port(manifest: Manifest, path: Path, number: int, found: Sequence[Pods]) -> Iterator[Finding]:
    """A number that no container gives as its port, nor says anywhere else."""
    known = [pods.known_ports() for pods in found]
    if (
        not all(known)
        or any(number in ports for ports in known)
        or any(pods.mentions(number) for pods in found)
    ):
        return
    shown = listed(str(port) for port in sorted(set().union(*known)))
    message = f"leads to the port {number} of {found[0].what}, which have {shown}: nothing would answer"
    yield warning("selectors/port", manifest, path, message, f"use one of {shown}")


def _named_port(manifest: Manifest, path: Path, name: str, found: Sequence[Pods]) -> Iterator[Finding]:
    known = sorted({port for pods in found for port in pods.port_names()})
    if name not in known:
        meant = closest(name, known)
        fix = (
            f"did you mean {meant}?"
            if meant
            else f"name one of {listed(known)}"
            if known
            else "name the port"
        )
        message = f"no container of {found[0].what} names a port {name!r}: nothing would answer"
        yield error("selectors/port", manifest, path, message, fix)


def _miss(
    world: World, manifest: Manifest, path: Path, selector: Mapping[str, Any], namespaces: Sequence[str]
) -> Iterator[Finding]:
    """That nothing is selected, with what is nearest to it."""
    candidates = [pods for namespace in namespaces for pods in world.pods_in(namespace)]
    elsewhere = [pods for pods in world.pods if selects(selector, pods)]
    if elsewhere:
        where = listed(sorted({pods.namespace for pods in elsewhere}))
        is_monitor = manifest.kind == "PodMonitor"
        message = f"selects no pods: it looks in {listed(namespaces)}, and {elsewhere[0].what} are in {where}"
        fix = f"add namespaceSelector.matchNames: [{where}]" if is_monitor else f"put it into {where}"
        say = note if _may_be_others(world, namespaces) else warning
        yield say("selectors/none", manifest, path, message, fix)
        return
    if not candidates:
        return
    wanted = texts(selector.get("matchLabels"))
    nearest = max(candidates, key=lambda pods: _nearness(pods, wanted))
    off = [
        _difference(nearest, key, value) for key, value in wanted.items() if not nearest.has_label(key, value)
    ]
    near = (
        f"; nearest are {nearest.what}, with {listed(off)}"
        if len(off) < len(wanted) or len(wanted) == 1
        else ""
    )
    say = note if _may_be_others(world, namespaces) else warning
    message = f"selects no pods among these files{near}"
    yield say("selectors/none", manifest, path, message, "select labels that the pods have")


def _nearness(pods: Pods, wanted: Mapping[str, str]) -> tuple[int, int]:
    """(labels that are as wanted, labels that are there at all)"""
    has = [key for key in wanted if key in pods.labels or key in pods.open_labels]
    return sum(pods.has_label(key, value) for key, value in wanted.items()), len(has)


def _difference(pods: Pods, key: str, value: str) -> str:
    if key not in pods.labels and key not in pods.open_labels:
        return f"no label {key}"
    return f"{key} {pods.labels.get(key, 'made up anew')} instead of {value}"


def _may_be_others(world: World, namespaces: Sequence[str]) -> bool:
    """Whether pods that are not known here may be in the namespaces."""
    return any(
        manifest.kind in _POD_MAKERS and any(same_namespace(manifest.namespace, name) for name in namespaces)
        for manifest in world.manifests
    )


def _budget(world: World, manifest: Manifest) -> Iterator[Finding]:
    least, most = (manifest.get("spec", key) for key in ("minAvailable", "maxUnavailable"))
    if least is not None and most is not None:
        message = "minAvailable and maxUnavailable exclude each other"
        yield error("selectors/budget", manifest, ("spec", "maxUnavailable"), message, "keep one of the two")
    selector = mapping(manifest.get("spec", "selector"))
    found = [pods for pods in world.pods_in(manifest.namespace) if selects(selector, pods)]
    if not found and selector:
        yield from _miss(world, manifest, ("spec", "selector"), selector, [manifest.namespace])
    if any(pods.role == "worker" for pods in found) and (most in (0, "0%") or least == "100%"):
        message = "no worker of Ray may ever be evicted: nodes cannot be drained, nor replaced"
        key = "minAvailable" if most is None else "maxUnavailable"
        yield warning("selectors/budget", manifest, ("spec", key), message, "allow one: maxUnavailable: 1")
        return
    if not found or any(pods.owner.kind not in _BUDGETED or pods.maximum is None for pods in found):
        return
    count = sum(pods.maximum or 0 for pods in found)
    is_scaled = any(_is_scaled(world, pods.owner) for pods in found)
    if not is_scaled and (
        most in (0, "0%") or least == "100%" or (isinstance(least, int) and least >= count > 0)
    ):
        message = f"no pod of {count} may ever be evicted: nodes cannot be drained, nor replaced"
        key = "minAvailable" if most is None else "maxUnavailable"
        yield warning("selectors/budget", manifest, ("spec", key), message, "allow one: maxUnavailable: 1")


def _is_scaled(world: World, owner: Manifest) -> bool:
    targets = [
        scaler.get("spec", "scaleTargetRef", "name")
        for scaler in world.of("HorizontalPodAutoscaler", "ScaledObject")
    ]
    return owner.name in targets


def _namespaces(manifest: Manifest, world: World) -> list[str]:
    """Where a monitor looks."""
    chosen = mapping(manifest.get("spec", "namespaceSelector"))
    if chosen.get("any") is True:
        return sorted({pods.namespace for pods in world.pods} | {each.namespace for each in world.services})
    return [str(name) for name in items(chosen.get("matchNames"))] or [manifest.namespace]


def _pod_monitor(world: World, manifest: Manifest) -> Iterator[Finding]:
    selector, namespaces = mapping(manifest.get("spec", "selector")), _namespaces(manifest, world)
    found = [pods for name in namespaces for pods in world.pods_in(name) if selects(selector, pods)]
    if not found:
        if selector:
            yield from _miss(world, manifest, ("spec", "selector"), selector, namespaces)
        return
    for index, endpoint in mappings(manifest.get("spec", "podMetricsEndpoints")):
        name = endpoint.get("port")
        known = sorted({port for pods in found for port in pods.port_names()})
        if isinstance(name, str) and name not in known:
            path = ("spec", "podMetricsEndpoints", index, "port")
            yield _no_port(manifest, path, name, found[0].what, known)


def _no_port(manifest: Manifest, path: Path, name: str, what: str, known: Sequence[str]) -> Finding:
    meant = closest(name, known)
    fix = (
        f"did you mean {meant}?"
        if meant
        else f"a number goes into portNumber: {name}"
        if name.isdigit()
        else f"name one of {listed(known)}"
        if known
        else "name the port there"
    )
    return warning(
        "selectors/port", manifest, path, f"no port of {what} is named {name!r}: nothing is scraped", fix
    )


def _service_monitor(world: World, manifest: Manifest) -> Iterator[Finding]:
    wanted = texts(manifest.get("spec", "selector", "matchLabels"))
    namespaces = _namespaces(manifest, world)
    near = [
        service
        for service in world.services
        if any(same_namespace(service.namespace, name) for name in namespaces)
    ]
    found = [
        service for service in near if all(service.labels.get(key) == value for key, value in wanted.items())
    ]
    own = [service for service in near if not service.is_made]
    if not found and own and wanted and not manifest.get("spec", "selector", "matchExpressions"):
        nearest = max(
            own, key=lambda each: sum(each.labels.get(key) == value for key, value in wanted.items())
        )
        has = nearest.labels or "no labels"
        message = f"selects no Service among these files; nearest is {nearest.name}, with {has}"
        say = note if _may_be_others(world, namespaces) else warning
        yield say(
            "selectors/none",
            manifest,
            ("spec", "selector"),
            message,
            "select labels that the Service itself has",
        )
    for index, endpoint in mappings(manifest.get("spec", "endpoints")):
        name = endpoint.get("port")
        known = sorted({port[0] for service in found for port in service.ports if port[0]})
        if found and isinstance(name, str) and name not in known:
            yield _no_port(
                manifest, ("spec", "endpoints", index, "port"), name, f"Service {found[0].name}", known
            )


def _ingress(world: World, manifest: Manifest) -> Iterator[Finding]:
    backends: list[tuple[Path, Any]] = [(("spec", "defaultBackend"), manifest.get("spec", "defaultBackend"))]
    for rule_index, rule in mappings(manifest.get("spec", "rules")):
        for index, each in mappings(mapping(rule.get("http")).get("paths")):
            backends.append(
                (("spec", "rules", rule_index, "http", "paths", index, "backend"), each.get("backend"))
            )
    for path, backend in backends:
        service = mapping(mapping(backend).get("service"))
        port = mapping(service.get("port"))
        # The AWS load balancer's controller takes actions of its own as services.
        if service and port.get("name") != "use-annotation":
            yield from _backend(
                world,
                manifest,
                (*path, "service"),
                service.get("name"),
                port.get("number") or port.get("name"),
                manifest.namespace,
            )


def _route(world: World, manifest: Manifest) -> Iterator[Finding]:
    for rule_index, rule in mappings(manifest.get("spec", "rules")):
        for index, backend in mappings(rule.get("backendRefs")):
            path: Path = ("spec", "rules", rule_index, "backendRefs", index)
            namespace, kind = (
                str(backend.get("namespace") or manifest.namespace),
                backend.get("kind", "Service"),
            )
            if kind == "Service":
                yield from _backend(
                    world, manifest, path, backend.get("name"), backend.get("port"), namespace
                )
            elif isinstance(kind, str):
                yield from _backend_of_kind(
                    world, manifest, path, kind, str(backend.get("name", "")), namespace
                )


def _backend_of_kind(
    world: World, manifest: Manifest, path: Path, kind: str, name: str, namespace: str
) -> Iterator[Finding]:
    """An InferencePool, for one: said to lack only where the files bring others."""
    near = [each for each in world.of(kind) if same_namespace(each.namespace, namespace)]
    if near and name not in [each.name for each in near]:
        meant = closest(name, [each.name for each in near])
        fix = f"did you mean {meant}?" if meant else f"name one of {listed(each.name for each in near)}"
        message = f"there is no {kind} {name} among these files"
        yield warning("references/missing", manifest, (*path, "name"), message, fix)


def _backend(
    world: World, manifest: Manifest, path: Path, name: object, port: object, namespace: str
) -> Iterator[Finding]:
    services = [each for each in world.services if same_namespace(each.namespace, namespace)]
    found = next((each for each in services if each.name == name), None)
    if found is None:
        meant = closest(str(name), [each.name for each in services], 0.82)
        own = [each.name for each in services if not each.is_made]
        message = f"Service {name} is not among these files"
        where = (*path, "name")
        if meant:
            yield warning("references/missing", manifest, where, message, f"did you mean {meant}?")
        elif own and not _may_be_others(world, [namespace]):
            fix = f"name one of {listed(sorted(own), 4)}, or add it"
            yield warning("references/missing", manifest, where, message, fix)
        else:
            fix = "make it there first, or add it"
            yield note("references/external", manifest, where, f"{message}: it must be in the cluster", fix)
        return
    known = {part for each in found.ports for part in each[:2] if part}
    if isinstance(port, (int, str)) and port not in known and found.ports:
        message = f"Service {name} has no port {port}: every request fails"
        fix = f"use one of {listed(sorted(map(str, known)))}"
        yield error("selectors/port", manifest, (*path, "port"), message, fix)
