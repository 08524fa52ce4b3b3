"""Which operator brings which kinds, and how a person installs it. For messages only."""

from __future__ import annotations

# API group -> what brings it. Charts as their projects name them; docs/deploy.md has the commands in full.
OPERATORS: dict[str, str] = {
    "ray.io": "the KubeRay operator (helm chart kuberay-operator, 1.7 or later)",
    "karpenter.sh": "Karpenter (helm chart karpenter), or EKS Auto Mode",
    "karpenter.k8s.aws": "Karpenter for AWS (helm chart karpenter)",
    "eks.amazonaws.com": "EKS Auto Mode",
    "autoscaling.x-k8s.io": "Karpenter's or the cluster autoscaler's CapacityBuffer",
    "external-secrets.io": "the External Secrets Operator (helm chart external-secrets)",
    "gateway.networking.k8s.io": "the Gateway API and a controller for it",
    "elbv2.k8s.aws": "the AWS Load Balancer Controller",
    "monitoring.coreos.com": "the Prometheus operator (helm chart kube-prometheus-stack)",
    "keda.sh": "KEDA (helm chart keda)",
    "kagent.dev": "kagent (helm chart kagent)",
    "opensearch.org": "the OpenSearch operator (helm chart opensearch-operator)",
    "opensearch.opster.io": "the OpenSearch operator (helm chart opensearch-operator)",
}


def bringer(api_version: str) -> str:
    """What to install for a kind of this apiVersion."""
    group = api_version.rpartition("/")[0]
    return OPERATORS.get(group, f"whatever brings {api_version}")
