"""What the objects would make of a cluster: pods with their labels, services, Ray clusters. Judges nothing."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cluster.lint.kustomize import Generated
from cluster.lint.manifest import Manifest, at, items, mapping, mappings, texts
from cluster.lint.templates import pod_templates, ray_specs
from cluster.lint.yaml_text import Path

# Where a kind keeps the template of its pods.
_TEMPLATES: dict[str, Path] = {
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "ReplicationController": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    "ScaledJob": ("spec", "jobTargetRef", "template"),
    "Pod": (),
}
_RAY_SPECS: dict[str, Path] = {
    "RayCluster": ("spec",),
    "RayService": ("spec", "rayClusterConfig"),
    "RayJob": ("spec", "rayClusterSpec"),
    "RayCronJob": ("spec", "jobTemplate", "rayClusterSpec"),
}
_NATIVE_GROUPS = ("", "apps", "batch", "keda.sh")
# Ports that KubeRay gives a head without ports of its own, and their names:
# https://github.com/ray-project/kuberay, ray-operator/controllers/ray/utils/constant.go
RAY_PORTS = {"gcs-server": 6379, "dashboard": 8265, "metrics": 8080, "client": 10001, "serve": 8000}
_RAY_AGENT_PORTS = {
    52365,
    44217,
    44227,
}  # of the dashboard's agent, the dashboard's and the autoscaler's metrics


@dataclass(frozen=True, eq=False)
class Pods:
    """Pods that are made from one template.

    Args:
        path: of the template within the owner.
        labels: that the pods will have, those of KubeRay's operator among them.
        open_labels: label -> what its value begins with; for values that are made up when the pods are.
        role: `head` or `worker` of Ray; empty for anything else.
        group: the name of Ray's worker group.
        maximum: how many there can be; None: not known.
    """

    owner: Manifest
    path: Path
    template: Mapping[str, Any]
    labels: Mapping[str, str]
    open_labels: Mapping[str, str]
    role: str = ""
    group: str = ""
    minimum: int | None = None
    maximum: int | None = None

    @property
    def spec(self) -> Mapping[str, Any]:
        return mapping(self.template.get("spec"))

    @property
    def spec_path(self) -> Path:
        return (*self.path, "spec")

    @property
    def namespace(self) -> str:
        return self.owner.namespace

    @property
    def annotations(self) -> dict[str, str]:
        return texts(mapping(self.template.get("metadata")).get("annotations"))

    @property
    def what(self) -> str:
        """`the head of RayService ml/chat`"""
        if self.role == "worker":
            return f"the workers {self.group!r} of {self.owner.title}"
        return f"the head of {self.owner.title}" if self.role else f"the pods of {self.owner.title}"

    def containers(self, *, with_init: bool = False) -> Iterator[tuple[Path, Mapping[str, Any]]]:
        """Each container with its path within the owner, the main one first."""
        for key in ("containers", "initContainers") if with_init else ("containers",):
            for index, container in mappings(self.spec.get(key)):
                yield (*self.spec_path, key, index), container

    @property
    def main(self) -> Mapping[str, Any]:
        """The first container, which is Ray's in a pod of Ray."""
        return next((container for _, container in self.containers()), {})

    @property
    def main_path(self) -> Path:
        return (*self.spec_path, "containers", 0)

    def port_names(self) -> dict[str, int]:
        """name -> number of the ports that the containers name, those of KubeRay's operator among them."""
        named = {
            str(port["name"]): number
            for _, container in self.containers(with_init=True)
            for _, port in mappings(container.get("ports"))
            if "name" in port and isinstance(number := port.get("containerPort", 0), int)
        }
        if not self.role:
            return named
        defaults = RAY_PORTS if not items(self.main.get("ports")) else {"metrics": RAY_PORTS["metrics"]}
        return {**defaults, **named}

    def known_ports(self) -> set[int]:
        """Numbers of the ports that the containers give, those of Ray among them; empty where one gives none."""
        if self.spec.get("hostNetwork") is True:
            return set()
        given = [
            [each.get("containerPort") for _, each in mappings(container.get("ports"))]
            for _, container in self.containers()
        ]
        if not self.role and not all(given):
            return set()
        of_init = [
            each.get("containerPort")
            for _, container in mappings(self.spec.get("initContainers"))
            for _, each in mappings(container.get("ports"))
        ]
        numbers = {port for ports in [*given, of_init] for port in ports if isinstance(port, int)}
        return numbers | (set(RAY_PORTS.values()) | _RAY_AGENT_PORTS if self.role else set())

    def mentions(self, number: int) -> bool:
        """Whether a container says the number in its command, its variables or its probes."""
        word = re.compile(rf"(?<!\d){number}(?!\d)")
        for _, container in self.containers(with_init=True):
            parts = [container.get(key) for key in ("command", "args", "env")]
            if any(word.search(str(part)) for part in parts):
                return True
        return False

    def has_labels(self, wanted: Mapping[str, str]) -> bool:
        """Whether the pods have all these labels, or may have."""
        return all(self.has_label(key, value) for key, value in wanted.items())

    def has_label(self, key: str, value: str) -> bool:
        if key in self.open_labels:
            return value.startswith(self.open_labels[key])
        return self.labels.get(key) == value


@dataclass(frozen=True, eq=False)
class RayGroup:
    """The head's group, or one of workers."""

    pods: Pods
    spec: Mapping[str, Any]
    path: Path

    @property
    def name(self) -> str:
        return self.pods.group or "head"

    @property
    def start_params(self) -> Mapping[str, Any]:
        return mapping(self.spec.get("rayStartParams"))


@dataclass(frozen=True, eq=False)
class RayCluster:
    """A Ray cluster within an object of KubeRay."""

    owner: Manifest
    path: Path
    spec: Mapping[str, Any]
    head: RayGroup
    workers: Sequence[RayGroup]

    @property
    def groups(self) -> list[RayGroup]:
        return [self.head, *self.workers]

    @property
    def is_autoscaled(self) -> bool:
        return self.spec.get("enableInTreeAutoscaling") is True


@dataclass(frozen=True, eq=False)
class Service:
    """A Service, or one that KubeRay's operator makes.

    Args:
        selector: None for one without, whose endpoints somebody else keeps.
        ports: (name, port, target port).
        is_made: by the operator.
    """

    owner: Manifest
    name: str
    namespace: str
    selector: Mapping[str, str] | None
    ports: Sequence[tuple[str, int, str | int]]
    labels: Mapping[str, str]
    is_made: bool = False


class World:
    """The objects, by what they are."""

    def __init__(self, manifests: Iterable[Manifest], generated: Iterable[Generated] = ()) -> None:
        self.manifests = list(manifests)
        self.generated = list(generated)
        self._by_kind: dict[str, list[Manifest]] = defaultdict(list)
        for manifest in self.manifests:
            self._by_kind[manifest.kind].append(manifest)

    def of(self, *kinds: str) -> list[Manifest]:
        """The objects of these kinds, in the order in which they were read."""
        return [manifest for kind in kinds for manifest in self._by_kind.get(kind, ())]

    def find(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """The object of that name; one without a namespace may be in any."""
        for manifest in self._by_kind.get(kind, ()):
            if manifest.name == name and same_namespace(manifest.namespace, namespace):
                return manifest
        return None

    @cached_property
    def ray_clusters(self) -> list[RayCluster]:
        own = [
            _ray_cluster(manifest, _RAY_SPECS[manifest.kind])
            for manifest in self.of(*_RAY_SPECS)
            if manifest.group == "ray.io"
        ]
        others = [
            _ray_cluster(manifest, path)
            for manifest in self.manifests
            if not is_known_maker(manifest)
            for path in ray_specs(manifest.data)
        ]
        return [cluster for cluster in [*own, *others] if cluster is not None]

    @cached_property
    def pods(self) -> list[Pods]:
        """All templates of pods, those of Ray last."""
        found: list[Pods] = []
        for kind, path in _TEMPLATES.items():
            native = [manifest for manifest in self.of(kind) if manifest.group in _NATIVE_GROUPS]
            found.extend(_pods(manifest, path) for manifest in native)
        for manifest in self.manifests:
            if not is_known_maker(manifest):
                clusters = list(ray_specs(manifest.data))
                found.extend(
                    _foreign_pods(manifest, path)
                    for path in pod_templates(manifest.data)
                    if not any(path[: len(cluster)] == cluster for cluster in clusters)
                )
        for cluster in self.ray_clusters:
            found.extend(group.pods for group in cluster.groups)
        for manifest in self.of("RayJob"):
            template = manifest.get("spec", "submitterPodTemplate")
            if isinstance(template, Mapping):
                found.append(
                    Pods(manifest, ("spec", "submitterPodTemplate"), template, _template_labels(template), {})
                )
        return found

    @cached_property
    def services(self) -> list[Service]:
        own = [_service(manifest) for manifest in self.of("Service") if manifest.group == ""]
        return [
            *own,
            *(service for cluster in self.ray_clusters for service in _ray_services(cluster)),
            *(service for manifest in self.of("RayService") for service in _ray_gateway(manifest)),
        ]

    def pods_in(self, namespace: str) -> list[Pods]:
        return [pods for pods in self.pods if same_namespace(pods.namespace, namespace)]


def is_known_maker(manifest: Manifest) -> bool:
    """Whether the kind's pods are known by its fields, or it makes none."""
    return is_native(manifest) or (manifest.group == "ray.io" and manifest.kind in _RAY_SPECS)


def is_native(manifest: Manifest) -> bool:
    """Whether the kind is Kubernetes' own, or as good as that."""
    return manifest.group in _NATIVE_GROUPS or manifest.group in ("policy", "autoscaling")


def _foreign_pods(manifest: Manifest, path: Path) -> Pods:
    template = mapping(manifest.get(*path))
    return Pods(manifest, path, template, _template_labels(template), {})


def same_namespace(one: str, other: str) -> bool:
    """Whether they may be the same: without one in the text, `kubectl -n` says."""
    return not one or not other or one == other


def selects(selector: object, pods: Pods) -> bool:
    """Whether a label selector (matchLabels, matchExpressions) takes these pods."""
    parts = mapping(selector)
    if not pods.has_labels(texts(parts.get("matchLabels"))):
        return False
    return all(
        _expression_holds(expression, pods) for _, expression in mappings(parts.get("matchExpressions"))
    )


def _expression_holds(expression: Mapping[str, Any], pods: Pods) -> bool:
    key, operator = str(expression.get("key", "")), expression.get("operator")
    values = [str(value) for value in items(expression.get("values"))]
    has_key = key in pods.labels or key in pods.open_labels
    if operator == "Exists":
        return has_key
    if operator == "DoesNotExist":
        return not has_key
    is_one_of = any(pods.has_label(key, value) for value in values)
    return is_one_of if operator == "In" else not is_one_of


def _pods(manifest: Manifest, path: Path) -> Pods:
    template = mapping(manifest.get(*path)) if path else manifest.data
    replicas = manifest.get("spec", "replicas")
    count = (
        replicas
        if isinstance(replicas, int)
        else 1
        if manifest.kind in ("Deployment", "StatefulSet", "Pod")
        else None
    )
    labels = {**_template_labels(template), **manifest.added_pod_labels}
    return Pods(manifest, path, template, labels, {}, minimum=count, maximum=count)


def _template_labels(template: Mapping[str, Any]) -> dict[str, str]:
    return texts(mapping(template.get("metadata")).get("labels"))


def _ray_cluster(manifest: Manifest, path: Path) -> RayCluster | None:
    spec = manifest.get(*path)
    if not isinstance(spec, Mapping):
        return None
    head = _ray_group(manifest, (*path, "headGroupSpec"), mapping(spec.get("headGroupSpec")), "head", "")
    workers = [
        _ray_group(
            manifest, (*path, "workerGroupSpecs", index), group, "worker", str(group.get("groupName", ""))
        )
        for index, group in mappings(spec.get("workerGroupSpecs"))
    ]
    return RayCluster(manifest, path, spec, head, workers)


def _ray_group(manifest: Manifest, path: Path, spec: Mapping[str, Any], role: str, name: str) -> RayGroup:
    template = mapping(spec.get("template"))
    labels, open_labels = _ray_labels(manifest, role, name)
    replicas, least, most = (spec.get(key) for key in ("replicas", "minReplicas", "maxReplicas"))
    hosts = spec.get("numOfHosts") if isinstance(spec.get("numOfHosts"), int) else 1
    pods = Pods(
        manifest,
        (*path, "template"),
        template,
        {**_template_labels(template), **labels},
        open_labels,
        role,
        name,
        minimum=1 if role == "head" else _times(least if isinstance(least, int) else 0, hosts),
        maximum=1 if role == "head" else _times(most if isinstance(most, int) else replicas, hosts),
    )
    return RayGroup(pods, spec, path)


def _times(count: object, hosts: object) -> int | None:
    return count * hosts if isinstance(count, int) and isinstance(hosts, int) else None


def _ray_labels(manifest: Manifest, role: str, group: str) -> tuple[dict[str, str], dict[str, str]]:
    """The labels that KubeRay's operator puts on a pod; a RayService's or RayJob's cluster is named anew each time."""
    labels = {
        "ray.io/node-type": role,
        "ray.io/group": group or "headgroup",
        "ray.io/is-ray-node": "yes",
        "app.kubernetes.io/name": "kuberay",
        "app.kubernetes.io/created-by": "kuberay-operator",
    }
    names = {"ray.io/cluster": manifest.name, "ray.io/identifier": manifest.name}
    if manifest.kind == "RayCluster":
        return {**labels, "ray.io/cluster": manifest.name, "ray.io/identifier": f"{manifest.name}-{role}"}, {}
    if manifest.kind not in _RAY_SPECS:
        return labels, names  # another operator makes the RayCluster
    if manifest.kind == "RayService":
        labels["ray.io/serve"] = "true"
    owner = {"ray.io/originated-from-cr-name": manifest.name, "ray.io/originated-from-crd": manifest.kind}
    return {**labels, **owner}, names


def _service(manifest: Manifest) -> Service:
    selector = manifest.get("spec", "selector")
    ports = [
        (str(port.get("name", "")), number, port.get("targetPort", number))
        for _, port in mappings(manifest.get("spec", "ports"))
        if isinstance(number := port.get("port", 0), int)
    ]
    return Service(
        manifest,
        manifest.name,
        manifest.namespace,
        texts(selector) if isinstance(selector, Mapping) else None,
        ports,
        manifest.labels,
    )


def _ray_services(cluster: RayCluster) -> Iterator[Service]:
    """The services that KubeRay's operator makes for a cluster; only their names and ports matter here."""
    manifest = cluster.owner
    named = cluster.head.pods.port_names()
    ports = [(name, number, number) for name, number in named.items()]
    own = at(cluster.head.spec, "headService", "metadata", "name")
    if manifest.kind in ("RayCluster", "RayService"):
        names = [own] if isinstance(own, str) and own else [f"{manifest.name}-head-svc"]
        if manifest.kind == "RayService":
            serve = manifest.get("spec", "serveService", "metadata", "name")
            names.append(serve if isinstance(serve, str) and serve else f"{manifest.name}-serve-svc")
        elif manifest.annotations.get("ray.io/enable-serve-service") == "true":
            names.append(f"{manifest.name}-serve-svc")
        for name in names:
            is_serve = name.endswith("-serve-svc")
            labels = (
                {"ray.io/node-type": "head"} if not is_serve else {"ray.io/serve": f"{manifest.name}-serve"}
            )
            chosen = (
                [port for port in ports if port[0] == "serve"] or [("serve", 8000, 8000)]
                if is_serve
                else ports
            )
            yield Service(manifest, name, manifest.namespace, None, chosen, labels, is_made=True)


def _ray_gateway(manifest: Manifest) -> Iterator[Service]:
    """The Service before the Gateway that KubeRay's operator makes where upgrades go by steps, by its usual name.

    https://gateway-api.sigs.k8s.io/geps/gep-1762/#resource-attachment: the Gateway's name and its class.
    """
    strategy = mapping(manifest.get("spec", "upgradeStrategy"))
    gateway_class = at(strategy, "clusterUpgradeOptions", "gatewayClassName")
    if strategy.get("type") == "NewClusterWithIncrementalUpgrade" and isinstance(gateway_class, str):
        name = f"{manifest.name}-gateway-{gateway_class}"
        yield Service(manifest, name, manifest.namespace, None, [("http", 80, 80)], {}, is_made=True)
