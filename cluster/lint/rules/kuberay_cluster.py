"""What KubeRay's operator refuses of a Ray cluster, whichever object it is in; the source is that of `kuberay`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from cluster.lint.findings import Finding
from cluster.lint.manifest import at, error, items, mapping, mappings, note, warning
from cluster.lint.rules.schema import label_faults
from cluster.lint.world import RayCluster, RayGroup
from cluster.lint.yaml_text import Path

_DNS_1123_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_RESOURCE_PARAMS = ("num-cpus", "num-gpus", "memory", "resources")
_TLS_VARIABLES = ("RAY_USE_TLS", "RAY_TLS_SERVER_CERT", "RAY_TLS_SERVER_KEY", "RAY_TLS_CA_CERT")
_TLS_VOLUME = "ray-tls"
# field of the cluster's spec -> the gate that v1.7.0 has off
_GATES = {
    "networkPolicy": "RayClusterNetworkPolicy",
    "tlsOptions": "RayClusterMTLS",
    "historyServerOptions": "RayClusterHistoryServer",
}


def check_cluster(cluster: RayCluster) -> Iterator[Finding]:
    """Everything that the operator checks of the cluster's spec."""
    for group in cluster.groups:
        yield from _group(cluster, group)
    yield from _fault_tolerance(cluster)
    yield from _autoscaler(cluster)
    yield from _auth(cluster)
    yield from _network_policy(cluster)
    yield from _tls(cluster)
    for name, gate in _GATES.items():
        if cluster.spec.get(name) is not None:
            message = f"{name} needs the operator's feature gate {gate}, which is off by default"
            yield note(
                "kuberay/feature-gate",
                cluster.owner,
                (*cluster.path, name),
                message,
                f"install KubeRay with {gate} on",
            )


def env_of(container: object) -> dict[str, tuple[int, Mapping[str, Any]]]:
    """name -> (index, entry) of a container's environment."""
    return {
        str(entry.get("name")): (index, entry) for index, entry in mappings(mapping(container).get("env"))
    }


def version_of(text: object) -> tuple[int, int, int] | None:
    """(2, 46, 0) of `2.46.0` or `v2.46`; None for what is none."""
    match = re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?", text) if isinstance(text, str) else None
    return (int(match[1]), int(match[2]), int(match[3] or 0)) if match else None


def has_fault_tolerance(cluster: RayCluster) -> bool:
    """Whether the head's state outlives it, as the operator decides it."""
    annotated = cluster.owner.annotations.get("ray.io/ft-enabled", "").lower() == "true"
    return annotated or cluster.spec.get("gcsFaultToleranceOptions") is not None


def _group(cluster: RayCluster, group: RayGroup) -> Iterator[Finding]:
    owner, path, name = cluster.owner, group.path, group.name
    if not items(group.pods.spec.get("containers")):
        yield error(
            "kuberay/containers",
            owner,
            (*path, "template"),
            f"the group {name} has no container",
            "add Ray's container",
        )
    given = [param for param in _RESOURCE_PARAMS if group.start_params.get(param)]
    if given and mapping(group.spec.get("resources")):
        message = f"the group {name} has its resources twice: in rayStartParams ({', '.join(given)}) and in resources"
        yield error("kuberay/resources", owner, (*path, "resources"), message, "keep one of the two")
    if "labels" in group.start_params:
        message = "rayStartParams.labels is not supported"
        yield error(
            "kuberay/labels",
            owner,
            (*path, "rayStartParams", "labels"),
            message,
            f"use the group's own field: {path[-1]}.labels",
        )
    for key, value in mapping(group.spec.get("labels")).items():
        yield from label_faults(owner, (*path, "labels"), str(key), str(value))
    if group is not cluster.head:
        yield from _worker_group(cluster, group)


def _worker_group(cluster: RayCluster, group: RayGroup) -> Iterator[Finding]:
    owner, path, spec = cluster.owner, group.path, group.spec
    least, most = spec.get("minReplicas", 0), spec.get("maxReplicas")
    for key in ("minReplicas", "maxReplicas", "idleTimeoutSeconds"):
        if isinstance(spec.get(key), int) and spec[key] < 0:
            yield error(
                "kuberay/replicas",
                owner,
                (*path, key),
                f"{key} of {group.name} is negative",
                "write 0 or more",
            )
    if isinstance(least, int) and isinstance(most, int) and least > most:
        message = f"the group {group.name} has minReplicas {least} above maxReplicas {most}"
        yield error(
            "scaling/min-max",
            owner,
            (*path, "minReplicas"),
            message,
            f"lower minReplicas, or raise maxReplicas to {least}",
        )
    if spec.get("suspend") is True and cluster.is_autoscaled:
        message = f"the group {group.name} cannot be suspended while the autoscaler is on"
        yield error(
            "kuberay/suspend",
            owner,
            (*path, "suspend"),
            message,
            "take suspend out, or enableInTreeAutoscaling",
        )
    if spec.get("idleTimeoutSeconds") is not None and not _is_v2(cluster):
        message = "idleTimeoutSeconds of a group needs autoscaler v2"
        yield error(
            "kuberay/autoscaler",
            owner,
            (*path, "idleTimeoutSeconds"),
            message,
            "set autoscalerOptions.version: v2",
        )
    if spec.get("priority"):
        yield from _priority(cluster, group)


def _priority(cluster: RayCluster, group: RayGroup) -> Iterator[Finding]:
    path = (*group.path, "priority")
    version = version_of(cluster.spec.get("rayVersion"))
    if version is None or version < (2, 56, 0):
        yield error(
            "kuberay/priority",
            cluster.owner,
            path,
            "priority needs rayVersion 2.56.0 or later",
            "set rayVersion, or remove it",
        )
    if not _is_v2(cluster):
        yield error(
            "kuberay/priority",
            cluster.owner,
            path,
            "priority needs autoscaler v2",
            "set autoscalerOptions.version: v2",
        )


def _is_v2(cluster: RayCluster) -> bool:
    entry = env_of(cluster.head.pods.main).get("RAY_enable_autoscaler_v2")
    by_variable = entry is not None and entry[1].get("value") in ("1", "true")
    return by_variable or at(cluster.spec, "autoscalerOptions", "version") == "v2"


def _fault_tolerance(cluster: RayCluster) -> Iterator[Finding]:
    owner, head = cluster.owner, cluster.head
    options = cluster.spec.get("gcsFaultToleranceOptions")
    path: Path = (*cluster.path, "gcsFaultToleranceOptions")
    env = env_of(head.pods.main)
    env_path = (*head.pods.main_path, "env")
    rule = "kuberay/fault-tolerance"
    if "ray.io/ft-enabled" in owner.annotations and options is not None:
        message = "the annotation ray.io/ft-enabled and gcsFaultToleranceOptions are both given"
        yield error(
            rule, owner, ("metadata", "annotations", "ray.io/ft-enabled"), message, "remove the annotation"
        )
    if not has_fault_tolerance(cluster) and "RAY_REDIS_ADDRESS" in env:
        message = "RAY_REDIS_ADDRESS without gcsFaultToleranceOptions: the operator refuses it"
        yield error(
            rule,
            owner,
            (*env_path, env["RAY_REDIS_ADDRESS"][0]),
            message,
            "set gcsFaultToleranceOptions.redisAddress instead",
        )
    if options is not None:
        for name, instead in (("REDIS_PASSWORD", "redisPassword"), ("RAY_REDIS_ADDRESS", "redisAddress")):
            if name in env:
                message = f"{name} of the head beside gcsFaultToleranceOptions: the operator refuses it"
                yield error(
                    rule, owner, (*env_path, env[name][0]), message, f"use gcsFaultToleranceOptions.{instead}"
                )
        if head.start_params.get("redis-password"):
            message = (
                "redis-password in rayStartParams beside gcsFaultToleranceOptions: the operator refuses it"
            )
            yield error(
                rule,
                owner,
                (*head.path, "rayStartParams", "redis-password"),
                message,
                "use gcsFaultToleranceOptions.redisPassword",
            )
        if owner.annotations.get("ray.io/external-storage-namespace"):
            message = "external-storage-namespace beside gcsFaultToleranceOptions: the operator refuses it"
            annotation = ("metadata", "annotations", "ray.io/external-storage-namespace")
            yield error(
                rule, owner, annotation, message, "use gcsFaultToleranceOptions.externalStorageNamespace"
            )
        yield from _backend(cluster, mapping(options), path)
    if head.start_params.get("redis-username") or "REDIS_USERNAME" in env:
        index = env["REDIS_USERNAME"][0] if "REDIS_USERNAME" in env else None
        by_param = (*head.path, "rayStartParams", "redis-username")
        where: Path = by_param if index is None else (*env_path, index)
        yield error(
            rule,
            owner,
            where,
            "Redis' user name is given to Ray directly",
            "use gcsFaultToleranceOptions.redisUsername",
        )


def _backend(cluster: RayCluster, options: Mapping[str, Any], path: Path) -> Iterator[Finding]:
    rule = "kuberay/fault-tolerance"
    if options.get("backend") == "rocksdb":
        gate = "GCSFaultToleranceEmbeddedStorage"
        yield note(
            "kuberay/feature-gate",
            cluster.owner,
            (*path, "backend"),
            f"rocksdb needs the operator's feature gate {gate}",
            f"install KubeRay with {gate} on",
        )
        for key in ("redisAddress", "redisUsername", "redisPassword", "externalStorageNamespace"):
            if options.get(key):
                yield error(
                    rule,
                    cluster.owner,
                    (*path, key),
                    f"{key} means nothing with the backend rocksdb",
                    "remove it",
                )
        storage = mapping(options.get("storage"))
        if storage.get("claimName") and {"size", "storageClassName", "accessModes"} & set(storage):
            message = "claimName names a volume that is there; size, storageClassName and accessModes would make one"
            yield error(rule, cluster.owner, (*path, "storage", "claimName"), message, "keep one of the two")
    elif options.get("storage") is not None:
        yield error(
            rule,
            cluster.owner,
            (*path, "storage"),
            "storage belongs to the backend rocksdb",
            "remove it, or set backend: rocksdb",
        )


def _autoscaler(cluster: RayCluster) -> Iterator[Finding]:
    owner, rule = cluster.owner, "kuberay/autoscaler"
    options = mapping(cluster.spec.get("autoscalerOptions"))
    env = env_of(cluster.head.pods.main)
    version = env.get("RAY_enable_autoscaler_v2")
    if version is not None:
        path = (*cluster.head.pods.main_path, "env", version[0])
        if not cluster.is_autoscaled and version[1].get("value") in ("1", "true"):
            yield error(
                rule,
                owner,
                path,
                "RAY_enable_autoscaler_v2 without the autoscaler",
                "set enableInTreeAutoscaling: true",
            )
        elif cluster.is_autoscaled and options.get("version"):
            yield error(
                rule,
                owner,
                path,
                "autoscalerOptions.version and RAY_enable_autoscaler_v2 are both given",
                "remove the variable",
            )
    if cluster.is_autoscaled and options.get("version") == "v2":
        for group in cluster.groups:
            policy = group.pods.spec.get("restartPolicy")
            if policy not in (None, "", "Never"):
                message = (
                    f"restartPolicy {policy} of {group.name}: autoscaler v2 replaces pods, and restarts none"
                )
                yield error(
                    rule,
                    owner,
                    (*group.pods.spec_path, "restartPolicy"),
                    message,
                    "write Never, or remove it",
                )
    elif cluster.is_autoscaled and _is_v2(cluster):
        # The operator looks at the option only; the autoscaler does the same by the variable.
        for group in cluster.groups:
            policy = group.pods.spec.get("restartPolicy")
            if policy not in (None, "", "Never"):
                message = (
                    f"restartPolicy {policy} of {group.name}: a pod that restarts is lost to autoscaler v2"
                )
                where = (*group.pods.spec_path, "restartPolicy")
                yield warning(rule, owner, where, message, "write Never, or remove it")
    path = (*cluster.path, "autoscalerOptions")
    if isinstance(options.get("idleTimeoutSeconds"), int) and options["idleTimeoutSeconds"] < 0:
        yield error(
            rule, owner, (*path, "idleTimeoutSeconds"), "idleTimeoutSeconds is negative", "write 0 or more"
        )
    made = env_of(options).get("KUBERAY_GEN_AUTOSCALER_START_CMD")
    if made is not None:
        yield error(
            rule,
            owner,
            (*path, "env", made[0]),
            "KUBERAY_GEN_AUTOSCALER_START_CMD is the operator's",
            "remove it",
        )


def _auth(cluster: RayCluster) -> Iterator[Finding]:
    options = mapping(cluster.spec.get("authOptions"))
    path, rule = (*cluster.path, "authOptions"), "kuberay/auth"
    version = version_of(cluster.spec.get("rayVersion"))
    by_kubernetes = options.get("enableK8sTokenAuth") is True
    if options.get("mode") == "token":
        if version is None:
            yield error(
                rule,
                cluster.owner,
                path,
                "authOptions.mode token needs rayVersion, 2.52.0 or later",
                "set rayVersion",
            )
        elif version < (2, 52, 0):
            message = (
                f"authOptions.mode token needs Ray 2.52.0; rayVersion is {cluster.spec.get('rayVersion')}"
            )
            yield error(rule, cluster.owner, path, message, "use a newer Ray, or mode: disabled")
        elif by_kubernetes and version < (2, 55, 0):
            yield error(rule, cluster.owner, path, "enableK8sTokenAuth needs Ray 2.55.0", "use a newer Ray")
        if by_kubernetes and options.get("secretName"):
            yield error(
                rule,
                cluster.owner,
                path,
                "enableK8sTokenAuth and secretName are both given",
                "keep one of the two",
            )
    elif by_kubernetes:
        yield error(rule, cluster.owner, path, "enableK8sTokenAuth without mode: token", "set mode: token")
    if by_kubernetes and cluster.owner.kind in ("RayService", "RayJob"):
        message = f"enableK8sTokenAuth is not supported for a {cluster.owner.kind}"
        yield error(rule, cluster.owner, (*path, "enableK8sTokenAuth"), message, "use authOptions.secretName")


def _network_policy(cluster: RayCluster) -> Iterator[Finding]:
    policy = cluster.spec.get("networkPolicy")
    if not isinstance(policy, Mapping):
        return
    rule, path = "kuberay/network-policy", (*cluster.path, "networkPolicy")
    mode = policy.get("mode", "DenyAll")
    useless = {"DenyAllEgress": "ingressRules", "DenyAllIngress": "egressRules"}.get(str(mode))
    named: list[tuple[Path, Mapping[str, Any]]] = [
        ((*path, key), mapping(policy.get(key))) for key in ("head", "worker")
    ]
    names = {group.name for group in cluster.workers}
    for index, entry in mappings(policy.get("workerGroups")):
        named.append(((*path, "workerGroups", index), entry))
        if entry.get("groupName") not in names:
            message = f"there is no worker group {entry.get('groupName')!r}"
            yield error(
                rule,
                cluster.owner,
                (*path, "workerGroups", index, "groupName"),
                message,
                f"name one of {', '.join(sorted(names))}",
            )
    for where, entry in named:
        if useless and entry.get(useless):
            yield error(
                rule,
                cluster.owner,
                (*where, useless),
                f"{useless} mean nothing in the mode {mode}",
                "remove them, or change the mode",
            )
    yield from _names(cluster, policy, path)
    for group in cluster.workers:
        if not _DNS_1123_LABEL.fullmatch(group.name):
            message = (
                f"the group's name {group.name!r} becomes part of a NetworkPolicy's, and is no DNS label"
            )
            yield error(
                rule, cluster.owner, (*group.path, "groupName"), message, "use small letters, digits and -"
            )


def _names(cluster: RayCluster, policy: Mapping[str, Any], path: Path) -> Iterator[Finding]:
    """The operator opens the cluster to itself, and not to DNS."""
    if policy.get("mode") == "DenyAllIngress" or not cluster.workers:
        return
    rules = mappings(mapping(policy.get("worker")).get("egressRules"))
    ports = [mappings(rule.get("ports")) for _, rule in rules]
    if not any(
        not each or any(entry.get("port") in (53, "dns", None) for _, entry in each) for each in ports
    ):
        message = "the workers may not ask DNS, and find the head by name: they never join"
        fix = "allow UDP and TCP 53 in networkPolicy.worker.egressRules"
        yield error("network/dns", cluster.owner, path, message, fix)


def _tls(cluster: RayCluster) -> Iterator[Finding]:
    options = cluster.spec.get("tlsOptions")
    if not isinstance(options, Mapping) or options.get("enabled") is False:
        return
    rule = "kuberay/tls"
    for group in cluster.groups:
        env = env_of(group.pods.main)
        for name in _TLS_VARIABLES:
            if name in env:
                path = (*group.pods.main_path, "env", env[name][0])
                yield error(
                    rule, cluster.owner, path, f"{name} beside tlsOptions: the operator sets it", "remove it"
                )
        for index, mount in mappings(group.pods.main.get("volumeMounts")):
            if mount.get("name") == _TLS_VOLUME:
                path = (*group.pods.main_path, "volumeMounts", index)
                yield error(
                    rule,
                    cluster.owner,
                    path,
                    f"a mount of {_TLS_VOLUME} beside tlsOptions: the operator makes it",
                    "remove it",
                )
