"""Pods of Ray: one container each, with what Ray is told it may promise equal to what Kubernetes gives.

Knows a worker group of the plan, and nothing of the RayService around it.
"""

from __future__ import annotations

import math

from cluster.fitting import num_neuron_devices
from cluster.plan_types import GIB, WorkerGroup
from cluster.render import names
from cluster.render.objects import Object
from cluster.section import cluster_of
from cluster.serve_variables import SERVE_VARIABLES, haproxy_threads
from configs.schema import ClusterConfig, PlatformConfig
from configs.schema.cluster.section import Role

RAYLET_PORT = 52365  # of the agent beside each raylet, which says whether the raylet lives
# What Pod Security's `restricted` asks for. Ray writes its session below /tmp, so the root file system stays writable.
CONTAINER_SECURITY: Object = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
USER_ID = 10001  # as the images are built
# Pods whose place is dear: the cluster's state, or minutes until a successor serves. Karpenter leaves their nodes alone
# until they are empty; PodDisruptionBudgets speak to whoever drains a node by hand.
_STAYS: frozenset[Role] = frozenset({"head", "cpu", "gpu", "neuron"})
_DRAIN_CALL_S = 20  # for the drain request itself: a process of Ray's command line


def pod_template(config: PlatformConfig, group: WorkerGroup) -> Object:
    """The pod template of a group, the head's included."""
    cluster = cluster_of(config)
    is_head = group.role == "head"
    annotations = {"karpenter.sh/do-not-disrupt": "true"} if group.role in _STAYS else {}
    spec: Object = {
        "serviceAccountName": names.HEAD_ACCOUNT if is_head else names.WORKER_ACCOUNT,
        "automountServiceAccountToken": is_head,
        "enableServiceLinks": False,
        "priorityClassName": names.HEAD_PRIORITY if is_head else names.SERVING_PRIORITY,
        "terminationGracePeriodSeconds": grace_s(group, cluster),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER_ID,
            "runAsGroup": USER_ID,
            "fsGroup": USER_ID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "nodeSelector": {names.ROLE_LABEL: group.role},
        "tolerations": [names.role_toleration(group.role)],
        "containers": [_container(cluster, group)],
        "volumes": [_home_volume(group)],
    }
    spec |= where_devices_suffice(group)
    if not is_head:
        spec["topologySpreadConstraints"] = [_spread(group)]
    return {
        "metadata": {"labels": _labels(group)} | ({"annotations": annotations} if annotations else {}),
        "spec": spec,
    }


def grace_s(group: WorkerGroup, cluster: ClusterConfig) -> int:
    """Seconds from the first word to the end: for the drain, and for processes to close afterwards."""
    if group.role == "head":
        return 30 + cluster.upgrade.drain_s
    return _DRAIN_CALL_S + math.ceil(group.drain_s) + cluster.upgrade.drain_s


def ray_resources(group: WorkerGroup) -> dict[str, str]:
    """What Ray is told that a worker has: KubeRay hands it to `ray start`, and Ray's autoscaler reads it too."""
    pod = group.pod
    found = {"CPU": str(pod.num_cpus), "memory": str(pod.ray_memory_bytes)}
    if pod.num_gpus:
        found["GPU"] = str(pod.num_gpus)
    if pod.num_neuron_cores:
        found["neuron_cores"] = str(pod.num_neuron_cores)
    return found


def quantity(num_bytes: int) -> str:
    """Bytes as Kubernetes writes them, whole gibibytes where they are."""
    return f"{num_bytes // GIB}Gi" if num_bytes % GIB == 0 else f"{math.ceil(num_bytes / 2**20)}Mi"


def _labels(group: WorkerGroup) -> dict[str, str]:
    """Ours beside KubeRay's. `app.kubernetes.io/name` is left to it: the head's Service selects by its own value."""
    component = "ray-head" if group.role == "head" else "ray-worker"
    labels = names.labels(component) | {names.GROUP_LABEL: group.name, names.ROLE_LABEL: group.role}
    del labels[names.NAME_LABEL]
    return labels


def _container(cluster: ClusterConfig, group: WorkerGroup) -> Object:
    is_head = group.role == "head"
    resources = _resources(group)
    made: Object = {
        "name": "ray-head" if is_head else "ray-worker",
        "image": _image(cluster, group),
        "imagePullPolicy": "IfNotPresent",
        "ports": _ports(is_head=is_head),
        "env": _environment(cluster, group),
        "envFrom": [{"secretRef": {"name": names.APPLICATION_SECRET}}],
        "resources": {"requests": resources, "limits": dict(resources)},
        "securityContext": CONTAINER_SECURITY,
        "volumeMounts": [{"name": "home", "mountPath": names.HOME_PATH}],
        **_probes(is_head=is_head),
    }
    if not is_head:
        made["lifecycle"] = {"preStop": {"exec": {"command": _drain_command(group)}}}
    return made


def _image(cluster: ClusterConfig, group: WorkerGroup) -> str:
    image: str | None = getattr(cluster.images, group.image)
    assert image is not None  # the schema's own rules: a model on devices names its image
    return image


def _ports(*, is_head: bool) -> list[Object]:
    ports = {"metrics": names.METRICS_PORT, "serve": names.HTTP_PORT}
    if is_head:
        ports = {
            "gcs": names.GCS_PORT,
            "dashboard": names.DASHBOARD_PORT,
            "client": names.CLIENT_PORT,
            **ports,
        }
    return [{"name": name, "containerPort": port} for name, port in ports.items()]


def _environment(cluster: ClusterConfig, group: WorkerGroup) -> list[Object]:
    variables = {
        "MANTA_HOME": names.HOME_PATH,
        "AWS_REGION": cluster.region,
        **SERVE_VARIABLES,
        "RAY_SERVE_HAPROXY_NBTHREAD": haproxy_threads(group.pod.num_cpus),
    }
    return [{"name": name, "value": value} for name, value in variables.items()]


def _resources(group: WorkerGroup) -> dict[str, str]:
    """Requests equal limits: what is promised is there, and the pod is evicted last."""
    pod = group.pod
    made = {
        "cpu": str(pod.num_cpus),
        "memory": quantity(pod.memory_bytes),
        "ephemeral-storage": quantity(pod.disk_bytes),
    }
    if pod.num_gpus:
        made["nvidia.com/gpu"] = str(pod.num_gpus)
    if pod.num_neuron_cores:
        made["aws.amazon.com/neuron"] = str(num_neuron_devices(pod, group.best.instance))
    return made


def _probes(*, is_head: bool) -> Object:
    """Without words of the operator's own, which need `wget` in the image.

    A worker is ready while its HAProxy serves, so one without a replica gets no traffic; it lives while its raylet
    does.
    """
    if is_head:
        state = {"httpGet": {"path": "/api/gcs_healthz", "port": names.DASHBOARD_PORT}}
        ready, lives = state, state
    else:
        ready = {"httpGet": {"path": "/-/healthz", "port": names.HTTP_PORT}}
        lives = {"httpGet": {"path": "/api/local_raylet_healthz", "port": RAYLET_PORT}}
    return {
        # Weights and compiled programs are Serve's to wait for; this is for Ray itself.
        "startupProbe": {**lives, "periodSeconds": 5, "timeoutSeconds": 5, "failureThreshold": 60},
        "readinessProbe": {**ready, "periodSeconds": 5, "timeoutSeconds": 5, "failureThreshold": 2},
        "livenessProbe": {**lives, "periodSeconds": 10, "timeoutSeconds": 10, "failureThreshold": 12},
    }


def _drain_command(group: WorkerGroup) -> list[str]:
    """Tell Ray that this node goes: Serve starts its replicas elsewhere and lets those here finish.

    `ray drain-node` is what Ray's autoscaler does itself before it takes a node (hidden in Ray 2.60, which is pinned).
    """
    drain_s = math.ceil(group.drain_s)
    told = (
        f"timeout {_DRAIN_CALL_S} ray drain-node --reason DRAIN_NODE_REASON_PREEMPTION "
        f"--reason-message 'the pod ends' --deadline-remaining-seconds {drain_s}"
    )
    return ["/bin/sh", "-c", f"{told}; sleep {drain_s}"]


def _home_volume(group: WorkerGroup) -> Object:
    """MANTA_HOME: weights and compiled programs, on the node's NVMe where its class makes that the kubelet's disk."""
    return {"name": "home", "emptyDir": {"sizeLimit": quantity(max(group.pod.cache_bytes, GIB))}}


def where_devices_suffice(group: WorkerGroup) -> Object:
    """The `affinity` of pods with devices: only types whose devices are large enough; nothing for other pods.

    Device memory is no resource that Kubernetes counts.
    """
    if not (group.pod.num_gpus or group.pod.num_neuron_cores):
        return {}
    types = sorted(fit.instance.name for fit in group.fits)
    wanted = {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": types}
    required = {"nodeSelectorTerms": [{"matchExpressions": [wanted]}]}
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}}


def _spread(group: WorkerGroup) -> Object:
    """Over the zones, as far as there is room: a zone that is down must not keep its pods from the others."""
    return {
        "maxSkew": 1,
        "topologyKey": "topology.kubernetes.io/zone",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {names.GROUP_LABEL: group.name}},
        # While two clusters of Ray run beside each other, each is spread for itself.
        "matchLabelKeys": [names.RAY_CLUSTER_LABEL],
    }
