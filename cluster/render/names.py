"""Names that the objects of several families must agree on, in one place. Knows nothing of how objects are made."""

from __future__ import annotations

RAY_SERVICE = "manta"
LITELLM = "litellm"
COLLECTOR = "otel-collector"
INGESTION = "ingestion"
SERVE_SERVICE = f"{RAY_SERVICE}-serve-svc"  # KubeRay makes it: the RayService's name and this ending
ENTRANCE = "manta"  # the Gateway, or the Ingress, that lets clients in
# The Gateway that KubeRay makes where upgrades go by steps: it shares out traffic between two clusters of Ray.
RAY_GATEWAY = f"{RAY_SERVICE}-gateway"

# Service accounts. The head's may talk to the Kubernetes API (Ray's autoscaler); the workers' may not.
HEAD_ACCOUNT = "ray-head"
WORKER_ACCOUNT = "ray-worker"
LITELLM_ACCOUNT = LITELLM
COLLECTOR_ACCOUNT = COLLECTOR

# Secrets that the External Secrets Operator fills: environment variable -> value.
APPLICATION_SECRET = "manta-env"  # noqa: S105 (a name)
GATEWAY_SECRET = "litellm-env"  # noqa: S105
KNOWLEDGE_SECRET = "opensearch-env"  # noqa: S105
SECRET_STORE = "aws-secrets-manager"  # noqa: S105
OBSERVABILITY_SECRET = "observability-env"  # noqa: S105

# Labels of everything that is rendered; the component tells the parts apart.
NAME_LABEL = "app.kubernetes.io/name"
COMPONENT_LABEL = "app.kubernetes.io/component"
PART_OF_LABEL = "app.kubernetes.io/part-of"
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
APP = "manta"
FIELD_MANAGER = "manta"

# On pods of Ray: the worker group's name.
GROUP_LABEL = "manta.dev/group"
# On pods that only keep a place for one of a group.
PLACE_LABEL = "manta.dev/place-of"
# Inside Ray: a node's label, which a deployment's `label_selector` names. Not Kubernetes' label.
RAY_GROUP_LABEL = "manta-group"

# What the KubeRay operator puts on pods of its own accord
# (KubeRay v1.7.0, ray-operator/controllers/ray/utils/constant.go).
RAY_CLUSTER_LABEL = "ray.io/cluster"

# Where weights and everything else below MANTA_HOME is: on the node's NVMe where it has one.
HOME_PATH = "/var/lib/manta"

# Nodes: one label says which role's they are, one taint keeps others' pods away.
ROLE_LABEL = "manta.dev/role"
ROLE_TAINT = "manta.dev/role"
DEVICE_TAINTS = {"gpu": ("nvidia.com/gpu", "present"), "neuron": ("aws.amazon.com/neuron", "present")}

# Priorities, highest first.
HEAD_PRIORITY = "manta-head"
SERVING_PRIORITY = "manta-serving"

HTTP_PORT = 8000
DASHBOARD_PORT = 8265
GCS_PORT = 6379
CLIENT_PORT = 10001
METRICS_PORT = 8080
LITELLM_PORT = 4000

# Where operators are, as their charts install them.
KUBERAY_NAMESPACE = "kuberay-system"
MONITORING_NAMESPACE = "monitoring"
EXTERNAL_SECRETS_NAMESPACE = "external-secrets"


def labels(component: str) -> dict[str, str]:
    """Of an object, and of the pods that it makes."""
    return {
        NAME_LABEL: APP,
        COMPONENT_LABEL: component,
        PART_OF_LABEL: APP,
        MANAGED_BY_LABEL: FIELD_MANAGER,
    }


def role_taint(role: str) -> dict[str, str]:
    """On the nodes of a role.

    Nodes with devices carry the device's own taint instead of ours: the device plugins' DaemonSets tolerate that one
    and no other, and without them the node has no devices to give.
    """
    key, value = DEVICE_TAINTS.get(role, (ROLE_TAINT, role))
    return {"key": key, "value": value, "effect": "NoSchedule"}


def role_toleration(role: str) -> dict[str, str]:
    """On pods that may run on the nodes of a role: the counterpart of those nodes' taint."""
    return {"operator": "Equal", **role_taint(role)}
