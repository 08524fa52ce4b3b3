"""How nodes are made: images, disks, subnets, and who they are at AWS. One class a role, for its disk and its bill.

Terraform names the same things: the node role `CLUSTER-node`, and subnets and security groups by the tag
`karpenter.sh/discovery: CLUSTER`.
"""

from __future__ import annotations

from typing import Any

from cluster.plan_types import ClusterPlan, NodePool
from cluster.render.objects import Object, metadata
from cluster.section import cluster_of
from configs.schema import ClusterConfig, PlatformConfig

_KARPENTER = "karpenter.k8s.aws"
_AUTO_MODE = "eks.amazonaws.com"


def node_classes(config: PlatformConfig, plan: ClusterPlan) -> list[Object]:
    """EC2NodeClasses for Karpenter, or NodeClasses for EKS Auto Mode."""
    cluster = cluster_of(config)
    make = _of_auto_mode if cluster.compute == "auto-mode" else _of_karpenter
    return [make(cluster, pool) for pool in plan.pools]


def class_name(role: str) -> str:
    return f"manta-{role}"


def reference(cluster: ClusterConfig, role: str) -> dict[str, str]:
    """How a NodePool names the class of a role."""
    if cluster.compute == "auto-mode":
        return {"group": _AUTO_MODE, "kind": "NodeClass", "name": class_name(role)}
    return {"group": _KARPENTER, "kind": "EC2NodeClass", "name": class_name(role)}


def _of_karpenter(cluster: ClusterConfig, pool: NodePool) -> Object:
    spec: Object = _common(cluster, pool) | {
        "amiSelectorTerms": [{"alias": f"{cluster.node_image}@{cluster.node_image_version}"}],
        "blockDeviceMappings": _disks(cluster, pool),
        # Pods have roles of their own (Pod Identity): one hop keeps them from the node's.
        "metadataOptions": {
            "httpEndpoint": "enabled",
            "httpProtocolIPv6": "disabled",
            "httpPutResponseHopLimit": 1,
            "httpTokens": "required",
        },
    }
    if any(instance.nvme_gb for instance in pool.instance_types):
        # The kubelet's folder moves to the local disks: a pod's emptyDir, and weights in it, are on NVMe.
        spec["instanceStorePolicy"] = "RAID0"
    return {
        "apiVersion": f"{_KARPENTER}/v1",
        "kind": "EC2NodeClass",
        "metadata": metadata(class_name(pool.role), "nodes"),
        "spec": spec,
    }


def _of_auto_mode(cluster: ClusterConfig, pool: NodePool) -> Object:
    """Auto Mode chooses the image, and uses local NVMe by itself where this disk is the smaller one.

    https://docs.aws.amazon.com/eks/latest/userguide/create-node-class.html
    """
    spec = _common(cluster, pool) | {
        "ephemeralStorage": {"size": f"{_volume_gib(cluster, pool)}Gi"},
        # The namespaces deny by policies of their own; by default would cut off what the cluster itself runs.
        "networkPolicy": "DefaultAllow",
        "networkPolicyEventLogs": "Disabled",
    }
    return {
        "apiVersion": f"{_AUTO_MODE}/v1",
        "kind": "NodeClass",
        "metadata": metadata(class_name(pool.role), "nodes"),
        "spec": spec,
    }


def _common(cluster: ClusterConfig, pool: NodePool) -> Object:
    return {
        "role": f"{cluster.name}-node",
        "subnetSelectorTerms": [{"tags": {"karpenter.sh/discovery": cluster.name}}],
        "securityGroupSelectorTerms": [{"tags": {"karpenter.sh/discovery": cluster.name}}],
        # For the bill, by role.
        "tags": {"manta:cluster": cluster.name, "manta:role": pool.role},
    }


def _disks(cluster: ClusterConfig, pool: NodePool) -> list[Object]:
    """Bottlerocket has its system on a disk of its own, and all that grows on a second one."""
    size = f"{_volume_gib(cluster, pool)}Gi"
    if cluster.node_image == "bottlerocket":
        return [_disk("/dev/xvda", "4Gi"), _disk("/dev/xvdb", size)]
    return [_disk("/dev/xvda", size)]


def _disk(device: str, size: str) -> Object:
    ebs: dict[str, Any] = {
        "deleteOnTermination": True,
        "encrypted": True,
        "volumeSize": size,
        "volumeType": "gp3",
    }
    return {"deviceName": device, "ebs": ebs}


def _volume_gib(cluster: ClusterConfig, pool: NodePool) -> int:
    configured = cluster.pool(pool.role)
    if configured is None:
        raise ValueError(f"the plan has nodes of the role {pool.role}, and the profile has none")
    return configured.root_volume_gib
