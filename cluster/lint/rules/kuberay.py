"""What KubeRay's operator refuses, although the API server takes it. An object that breaks one of these gets an event
and no pods.

The rules are those of the operator's v1.7.0, ray-operator/controllers/ray/utils/validation.go in ray-project/kuberay;
so are the feature gates, of pkg/features.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from cluster.lint.cel_functions import duration_s
from cluster.lint.findings import Finding
from cluster.lint.manifest import Manifest, error, mapping
from cluster.lint.rules.kuberay_cluster import check_cluster
from cluster.lint.rules.kuberay_jobs import check_cron_job, check_job
from cluster.lint.world import World
from cluster.lint.yaml_text import Path

# 63 less the longest suffix of a service, and less what the operator appends to make a cluster's name.
_NAME_LENGTHS = {"RayCluster": 53, "RayService": 47, "RayJob": 47}
_DNS_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


def check(world: World) -> Iterator[Finding]:
    for manifest in world.of("RayCluster", "RayService", "RayJob", "RayCronJob"):
        if manifest.group == "ray.io":
            yield from _name(manifest)
    for cluster in world.ray_clusters:
        yield from check_cluster(cluster)
    for manifest in world.of("RayService"):
        if manifest.group == "ray.io":
            yield from _service(manifest)
    for manifest in world.of("RayJob"):
        if manifest.group == "ray.io":
            yield from check_job(manifest, ("spec",))
    for manifest in world.of("RayCronJob"):
        if manifest.group == "ray.io":
            yield from check_cron_job(manifest)


def _name(manifest: Manifest) -> Iterator[Finding]:
    most = _NAME_LENGTHS.get(manifest.kind)
    if most is not None and len(manifest.name) > most:
        message = f"the name has {len(manifest.name)} characters, and KubeRay takes {most}: it makes longer ones of it"
        yield error("kuberay/name", manifest, ("metadata", "name"), message, "shorten it")
    if manifest.kind != "RayCronJob" and manifest.name and not _DNS_1035.fullmatch(manifest.name):
        message = f"{manifest.name!r} is no DNS label: small letters, digits and -, a letter first"
        yield error("kuberay/name", manifest, ("metadata", "name"), message, "rename it")
    timeout = manifest.annotations.get("ray.io/initializing-timeout", "")
    if manifest.kind == "RayService" and timeout and not _is_positive_time(timeout):
        path = ("metadata", "annotations", "ray.io/initializing-timeout")
        yield error("kuberay/annotation", manifest, path, f"{timeout!r} is no time", "write 30m, or seconds")


def _is_positive_time(text: str) -> bool:
    seconds = float(text) if re.fullmatch(r"-?\d+", text) else duration_s(text)
    return seconds is not None and seconds > 0


def _service(manifest: Manifest) -> Iterator[Finding]:
    rule = "kuberay/service"
    head_name = manifest.get("spec", "rayClusterConfig", "headGroupSpec", "headService", "metadata", "name")
    if head_name:
        named = ("spec", "rayClusterConfig", "headGroupSpec", "headService", "metadata", "name")
        yield error(rule, manifest, named, "a RayService names its head's service itself", "remove the name")
    strategy = mapping(manifest.get("spec", "upgradeStrategy"))
    kind, path = strategy.get("type"), ("spec", "upgradeStrategy")
    if kind not in (None, "None", "NewCluster", "NewClusterWithIncrementalUpgrade"):
        fix = "write NewCluster, NewClusterWithIncrementalUpgrade or None"
        yield error(rule, manifest, (*path, "type"), f"{kind!r} is no upgrade strategy", fix)
    if kind == "NewClusterWithIncrementalUpgrade":
        yield from _incremental(
            manifest, strategy.get("clusterUpgradeOptions"), (*path, "clusterUpgradeOptions")
        )
    if manifest.get("spec", "rayClusterConfig", "upgradeStrategy", "type"):
        where = ("spec", "rayClusterConfig", "upgradeStrategy")
        yield error(
            rule,
            manifest,
            where,
            "upgradeStrategy of the cluster is not for one that a RayService makes",
            "use spec.upgradeStrategy",
        )


def _incremental(manifest: Manifest, options: object, path: Path) -> Iterator[Finding]:
    rule = "kuberay/upgrade"
    if manifest.get("spec", "rayClusterConfig", "enableInTreeAutoscaling") is not True:
        message = "NewClusterWithIncrementalUpgrade needs Ray's autoscaler"
        yield error(rule, manifest, path[:-1], message, "set rayClusterConfig.enableInTreeAutoscaling: true")
    if not isinstance(options, Mapping):
        message = "NewClusterWithIncrementalUpgrade needs clusterUpgradeOptions"
        yield error(
            rule, manifest, path[:-1], message, "add stepSizePercent, intervalSeconds and gatewayClassName"
        )
        return
    surge, step = options.get("maxSurgePercent", 100), options.get("stepSizePercent")
    wrong = {
        key: value
        for key, value in (("maxSurgePercent", surge), ("stepSizePercent", step))
        if isinstance(value, int) and not 0 <= value <= 100
    }
    for key, value in wrong.items():
        yield error(rule, manifest, (*path, key), f"{key} is {value}, and a percentage", "write 0 to 100")
    if isinstance(step, int) and isinstance(surge, int) and step > surge and not wrong:
        yield error(
            rule,
            manifest,
            (*path, "stepSizePercent"),
            f"stepSizePercent {step} is above maxSurgePercent {surge}",
            "lower it",
        )
    if isinstance(options.get("intervalSeconds"), int) and options["intervalSeconds"] <= 0:
        yield error(rule, manifest, (*path, "intervalSeconds"), "intervalSeconds must be above 0", "write 10")
    if options.get("gatewayClassName") == "":
        yield error(
            rule, manifest, (*path, "gatewayClassName"), "gatewayClassName is empty", "name a GatewayClass"
        )
