"""Values of Kubernetes' own kinds that the API server takes from a short list, which its OpenAPI does not have.

The lists are those of the API reference, https://kubernetes.io/docs/reference/kubernetes-api/; those of pods are with
the rules of pods.
"""

from __future__ import annotations

from collections.abc import Iterator

from cluster.lint.findings import Finding
from cluster.lint.manifest import Manifest, at, error
from cluster.lint.rules.containers import not_among
from cluster.lint.rules.kuberay_jobs import is_schedule
from cluster.lint.world import World
from cluster.lint.yaml_text import Path

_PROTOCOLS = ("TCP", "UDP", "SCTP")
_EACH = "*"  # of a list
# A row: the kind, the path, and what may stand there.
_VALUES: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("Service", ("spec", "type"), ("ClusterIP", "NodePort", "LoadBalancer", "ExternalName")),
    ("Service", ("spec", "ports", _EACH, "protocol"), _PROTOCOLS),
    ("Service", ("spec", "sessionAffinity"), ("None", "ClientIP")),
    ("Service", ("spec", "externalTrafficPolicy"), ("Cluster", "Local")),
    ("Service", ("spec", "internalTrafficPolicy"), ("Cluster", "Local")),
    ("Deployment", ("spec", "strategy", "type"), ("RollingUpdate", "Recreate")),
    ("StatefulSet", ("spec", "updateStrategy", "type"), ("RollingUpdate", "OnDelete")),
    ("StatefulSet", ("spec", "podManagementPolicy"), ("OrderedReady", "Parallel")),
    ("DaemonSet", ("spec", "updateStrategy", "type"), ("RollingUpdate", "OnDelete")),
    ("CronJob", ("spec", "concurrencyPolicy"), ("Allow", "Forbid", "Replace")),
    (
        "Ingress",
        ("spec", "rules", _EACH, "http", "paths", _EACH, "pathType"),
        ("Prefix", "Exact", "ImplementationSpecific"),
    ),
    (
        "PersistentVolumeClaim",
        ("spec", "accessModes", _EACH),
        ("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"),
    ),
    ("PersistentVolumeClaim", ("spec", "volumeMode"), ("Filesystem", "Block")),
    ("StorageClass", ("volumeBindingMode",), ("Immediate", "WaitForFirstConsumer")),
    ("StorageClass", ("reclaimPolicy",), ("Delete", "Retain")),
    (
        "HorizontalPodAutoscaler",
        ("spec", "metrics", _EACH, "type"),
        ("Resource", "ContainerResource", "Pods", "Object", "External"),
    ),
    (
        "HorizontalPodAutoscaler",
        ("spec", "metrics", _EACH, "resource", "target", "type"),
        ("Utilization", "AverageValue", "Value"),
    ),
    ("NetworkPolicy", ("spec", "policyTypes", _EACH), ("Ingress", "Egress")),
    ("NetworkPolicy", ("spec", "ingress", _EACH, "ports", _EACH, "protocol"), _PROTOCOLS),
    ("NetworkPolicy", ("spec", "egress", _EACH, "ports", _EACH, "protocol"), _PROTOCOLS),
    ("RoleBinding", ("subjects", _EACH, "kind"), ("ServiceAccount", "User", "Group")),
    ("ClusterRoleBinding", ("subjects", _EACH, "kind"), ("ServiceAccount", "User", "Group")),
    ("PodDisruptionBudget", ("spec", "unhealthyPodEvictionPolicy"), ("IfHealthyBudget", "AlwaysAllow")),
    ("PriorityClass", ("preemptionPolicy",), ("PreemptLowerPriority", "Never")),
)


def check(world: World) -> Iterator[Finding]:
    for kind, path, known in _VALUES:
        for manifest in world.of(kind):
            for where, value in _found(manifest.data, path, ()):
                if value not in known:
                    yield not_among(manifest, where, value, known)
    for manifest in world.of("CronJob"):
        yield from _schedule(manifest)


def _schedule(manifest: Manifest) -> Iterator[Finding]:
    schedule = manifest.get("spec", "schedule")
    if isinstance(schedule, str) and "TZ" not in schedule and not is_schedule(schedule):
        message = f"{schedule!r} is no schedule of cron"
        yield error(
            "schema/value", manifest, ("spec", "schedule"), message, "write five fields, 0 3 * * *, or @daily"
        )


def _found(value: object, path: tuple[str, ...], before: Path) -> Iterator[tuple[Path, str]]:
    """The texts that stand at the path."""
    if not path:
        if isinstance(value, str):
            yield before, value
        return
    step, rest = path[0], path[1:]
    if step == _EACH:
        for index, item in enumerate(value if isinstance(value, list) else []):
            yield from _found(item, rest, (*before, index))
    else:
        yield from _found(at(value, step), rest, (*before, step))
