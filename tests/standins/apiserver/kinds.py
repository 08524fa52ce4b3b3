"""Which kinds the server has, and what it demands of their fields."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Schema = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    group: str
    version: str
    kind: str
    plural: str
    is_namespaced: bool = True
    has_status: bool = False  # a subresource that alone writes `status`
    schema: Schema | None = None  # None: takes anything
    fixed: tuple[str, ...] = ()  # fields that cannot change

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


ANY: Schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "integer"}


def closed(required: tuple[str, ...] = (), **properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(required)}


def object_of(spec: Schema | None = None, **more: Schema) -> Schema:
    top = {"apiVersion": TEXT, "kind": TEXT, "metadata": ANY, "status": ANY} | more
    return closed(**(top | ({"spec": spec} if spec else {})))


RAY_SERVICE = object_of(
    closed(
        serveConfigV2=TEXT,
        rayClusterConfig=closed(
            ("headGroupSpec",),
            rayVersion=TEXT,
            enableInTreeAutoscaling={"type": "boolean"},
            headGroupSpec=ANY,
            workerGroupSpecs={"type": "array", "items": ANY},
            autoscalerOptions=ANY,
            authOptions=ANY,
            gcsFaultToleranceOptions=ANY,
            headServiceAnnotations=ANY,
            suspend={"type": "boolean"},
        ),
        upgradeStrategy=closed(type=TEXT, clusterUpgradeOptions=ANY),
        rayClusterDeletionDelaySeconds=NUMBER,
        excludeHeadPodFromServeSvc={"type": "boolean"},
        suspend={"type": "boolean"},
        serveService=ANY,
    )
)
DEPLOYMENT = object_of(
    closed(
        ("selector", "template"),
        replicas=NUMBER,
        selector=ANY,
        template=ANY,
        strategy=ANY,
        minReadySeconds=NUMBER,
        progressDeadlineSeconds=NUMBER,
        revisionHistoryLimit=NUMBER,
        paused={"type": "boolean"},
    )
)
CONFIG_MAP = object_of(data=ANY, binaryData=ANY, immutable={"type": "boolean"})
REVISION = {
    "type": "object",
    "properties": {"apiVersion": TEXT, "kind": TEXT, "metadata": ANY, "revision": NUMBER, "data": ANY},
    "required": ["revision"],
}
CORE = (
    Kind("", "v1", "Namespace", "namespaces", is_namespaced=False),
    Kind("", "v1", "Node", "nodes", is_namespaced=False),
    Kind("", "v1", "PersistentVolume", "persistentvolumes", is_namespaced=False),
    Kind("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
    Kind("", "v1", "ConfigMap", "configmaps", schema=CONFIG_MAP),
    Kind("", "v1", "Secret", "secrets"),
    Kind("", "v1", "Service", "services", has_status=True),
    Kind("", "v1", "ServiceAccount", "serviceaccounts"),
    Kind("", "v1", "Pod", "pods", has_status=True),
    Kind("", "v1", "Event", "events"),
    Kind("", "v1", "ResourceQuota", "resourcequotas"),
    Kind("", "v1", "LimitRange", "limitranges"),
    Kind("apps", "v1", "ControllerRevision", "controllerrevisions", schema=REVISION, fixed=("data",)),
    Kind("apps", "v1", "Deployment", "deployments", has_status=True, schema=DEPLOYMENT),
    Kind("networking.k8s.io", "v1", "Ingress", "ingresses", has_status=True),
    Kind("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies"),
    Kind("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", has_status=True),
    Kind(
        "apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions",
        is_namespaced=False, has_status=True,
    ),
)  # fmt: skip
RAY = (
    Kind("ray.io", "v1", "RayService", "rayservices", has_status=True, schema=RAY_SERVICE),
    Kind("ray.io", "v1", "RayCluster", "rayclusters", has_status=True),
)
KARPENTER = (
    Kind("karpenter.sh", "v1", "NodePool", "nodepools", is_namespaced=False, has_status=True),
    Kind("karpenter.sh", "v1", "NodeClaim", "nodeclaims", is_namespaced=False, has_status=True),
)


def unknown_fields(value: Any, schema: Schema | None, path: str = "") -> Iterator[str]:
    """Paths of what the schema does not have."""
    if schema is None or schema.get("x-kubernetes-preserve-unknown-fields"):
        return
    if isinstance(value, dict) and "properties" in schema:
        for name, inner in value.items():
            if name in schema["properties"]:
                yield from unknown_fields(inner, schema["properties"][name], f"{path}.{name}".lstrip("."))
            elif "additionalProperties" not in schema:
                yield f"{path}.{name}".lstrip(".")
    elif isinstance(value, list) and "items" in schema:
        for number, item in enumerate(value):
            yield from unknown_fields(item, schema["items"], f"{path}[{number}]")


_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict, "array": list, "string": str, "integer": int, "boolean": bool, "number": (int, float),
}  # fmt: skip


def faults(value: Any, schema: Schema | None, path: str = "") -> Iterator[str]:
    """What a 422 says of a value."""
    if schema is None or value is None:
        return
    wanted = schema.get("type")
    if wanted and not isinstance(value, _TYPES[wanted]):
        shown = "string" if isinstance(value, str) else type(value).__name__
        yield f'{path}: Invalid value: "{shown}": {path} in body must be of type {wanted}: "{shown}"'
        return
    if isinstance(value, dict):
        for name in schema.get("required", ()):
            if name not in value:
                yield f"{path}.{name}: Required value".lstrip(".")
        for name, inner in value.items():
            yield from faults(inner, schema.get("properties", {}).get(name), f"{path}.{name}".lstrip("."))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from faults(item, schema.get("items"), f"{path}[{number}]")
