"""The RayService of KubeRay 1.7: head, worker groups, state, authentication, and how a new version takes over."""

from __future__ import annotations

import math

from cluster.groups import AUTOSCALER_CPU_MILLIS, AUTOSCALER_MEMORY_BYTES
from cluster.plan_types import ClusterPlan, WorkerGroup
from cluster.render import names
from cluster.render.objects import Object, metadata
from cluster.render.ray.pods import CONTAINER_SECURITY, grace_s, pod_template, quantity, ray_resources
from cluster.render.ray.serve_config import serve_config_text
from cluster.render.upgrades import goes_by_steps
from cluster.section import cluster_of
from configs.schema import ClusterConfig, GatewayApiEntrance, PlatformConfig, RedisReference

# Seconds for which a pod has nothing to do before Ray's autoscaler takes it: Serve has decided before that.
_IDLE_S = 120


def ray_service(config: PlatformConfig, plan: ClusterPlan) -> list[Object]:
    """The one RayService."""
    cluster = cluster_of(config)
    spec: Object = {
        "upgradeStrategy": _upgrade(config),
        # Requests that began on the old cluster end there.
        "rayClusterDeletionDelaySeconds": _old_cluster_s(config, plan, cluster),
        "excludeHeadPodFromServeSvc": True,
        "serveConfigV2": serve_config_text(config, plan),
        "rayClusterConfig": _ray_cluster(config, plan, cluster),
    }
    return [
        {
            "apiVersion": "ray.io/v1",
            "kind": "RayService",
            "metadata": metadata(names.RAY_SERVICE, "ray", cluster.namespaces.application),
            "spec": spec,
        }
    ]


def _upgrade(config: PlatformConfig) -> Object:
    """By steps where a Gateway can share traffic out, else at once when the new cluster serves."""
    entrance, upgrade = cluster_of(config).entrance, cluster_of(config).upgrade
    if not goes_by_steps(config) or not isinstance(entrance, GatewayApiEntrance):
        return {"type": "NewCluster"}
    return {
        "type": "NewClusterWithIncrementalUpgrade",
        "clusterUpgradeOptions": {
            "gatewayClassName": entrance.gateway_class,
            "maxSurgePercent": upgrade.max_surge_percent,
            "stepSizePercent": upgrade.step_percent,
            "intervalSeconds": upgrade.interval_s,
        },
    }


def _old_cluster_s(config: PlatformConfig, plan: ClusterPlan, cluster: ClusterConfig) -> int:
    longest = max(grace_s(group, cluster) for group in (plan.head, *plan.groups))
    return max(longest, math.ceil(config.ingress.max_deadline_s))


def _ray_cluster(config: PlatformConfig, plan: ClusterPlan, cluster: ClusterConfig) -> Object:
    return {
        "rayVersion": plan.ray_version,
        # KubeRay makes a token for each cluster of Ray, and Ray's ports ask for it.
        "authOptions": {"mode": "token"},
        "enableInTreeAutoscaling": True,
        "autoscalerOptions": _autoscaler(),
        "gcsFaultToleranceOptions": _state(cluster.gcs_redis),
        "headGroupSpec": {
            "rayStartParams": {
                # No work on the head: what ends it must not end a request.
                "num-cpus": "0",
                "num-gpus": "0",
                "object-store-memory": str(plan.head.pod.object_store_bytes),
            },
            "template": pod_template(config, plan.head),
        },
        "workerGroupSpecs": [_worker_group(config, group) for group in plan.groups],
    }


def _autoscaler() -> Object:
    resources = {"cpu": f"{AUTOSCALER_CPU_MILLIS}m", "memory": quantity(AUTOSCALER_MEMORY_BYTES)}
    return {
        "version": "v2",
        "upscalingMode": "Default",
        "idleTimeoutSeconds": _IDLE_S,
        "resources": {"requests": resources, "limits": dict(resources)},
        "securityContext": CONTAINER_SECURITY,
    }


def _state(redis: RedisReference) -> Object:
    """Where the cluster's state outlives its head. KubeRay gives each cluster of Ray a part of its own there."""
    made: Object = {"redisAddress": f"{'rediss' if redis.tls else 'redis'}://{redis.address}"}
    if redis.username is not None:
        made["redisUsername"] = {"value": redis.username}
    if redis.password is not None:
        secret = {"name": names.APPLICATION_SECRET, "key": redis.password.env}
        made["redisPassword"] = {"valueFrom": {"secretKeyRef": secret}}
    return made


def _worker_group(config: PlatformConfig, group: WorkerGroup) -> Object:
    return {
        "groupName": group.name,
        "replicas": group.min_pods,
        "minReplicas": group.min_pods,
        "maxReplicas": group.peak_pods,
        "labels": {names.RAY_GROUP_LABEL: group.name},
        "resources": ray_resources(group),
        "rayStartParams": {"object-store-memory": str(group.pod.object_store_bytes)},
        "template": pod_template(config, group),
    }
