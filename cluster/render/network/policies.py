"""All NetworkPolicies of a profile. In each namespace: deny everything, open DNS, then what each part needs.

EKS's network policy agent always lets the node's own kubelet probe its pods, so probes need no rule. Where the peer is
behind a Service without pods (DNS on the node, the Kubernetes API), rules name the Services' addresses as well as those
behind them: some agents judge a packet before its address is translated, some after.
"""

from __future__ import annotations

from cluster.plan_types import ClusterPlan
from cluster.render.namespaces import used
from cluster.render.network.gateway import of_gateway
from cluster.render.network.ray import of_ray
from cluster.render.network.rules import EVERY_POD, Rule, addresses, pods, policy
from cluster.render.network.stores import of_knowledge, of_observability
from cluster.render.objects import Object, metadata
from cluster.section import cluster_of
from configs.schema import ClusterConfig, PlatformConfig

_DNS_PORTS = [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]
_NODE_LOCAL_DNS = "169.254.20.10/32"  # https://kubernetes.io/docs/tasks/administer-cluster/nodelocaldns/


def policies(config: PlatformConfig, _plan: ClusterPlan) -> list[Object]:
    """The policies of all namespaces that the profile uses."""
    cluster = cluster_of(config)
    made = _switch(cluster)
    for namespace in used(config):
        made += [
            policy("default-deny", namespace, EVERY_POD, ingress=[], egress=[]),
            policy("dns", namespace, EVERY_POD, egress=[_dns(cluster)]),
        ]
    return [
        *made,
        *of_ray(config),
        *of_gateway(config),
        *of_observability(config),
        *of_knowledge(config),
    ]


def _dns(cluster: ClusterConfig) -> Rule:
    resolvers = [
        pods({"matchLabels": {"k8s-app": "kube-dns"}}, "kube-system"),
        addresses(cluster.network.service_cidr),
        addresses(_NODE_LOCAL_DNS),
    ]
    return {"to": resolvers, "ports": _DNS_PORTS}


def _switch(cluster: ClusterConfig) -> list[Object]:
    """Without it EKS Auto Mode accepts policies and enforces none; elsewhere it is a setting of the VPC CNI add-on.

    https://docs.aws.amazon.com/eks/latest/userguide/auto-net-pol.html
    """
    if cluster.compute != "auto-mode":
        return []
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata("amazon-vpc-cni", "network", "kube-system"),
            "data": {"enable-network-policy-controller": "true"},
        }
    ]
