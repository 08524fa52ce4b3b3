"""Roles at AWS: who takes one by EKS Pod Identity, and what it allows. JSON documents, for Terraform or by hand.

For each identity `iam/NAME.policy.json` and `iam/NAME.trust.json`, and for all `iam/associations.json`: which service
account takes which role. No action is a pattern, and every resource is one that the profile names. What the cluster's
own parts need (Karpenter, the load balancer's controller, the CSI driver) comes with them and is not said here.
"""

from __future__ import annotations

from cluster.plan_types import ClusterPlan
from cluster.render import names
from cluster.render.iam.statements import (
    Statement,
    bedrock,
    langfuse_bucket,
    opensearch,
    s3,
    secrets_manager,
)
from cluster.render.objects import Document
from cluster.section import cluster_of
from configs.schema import ClusterConfig, PlatformConfig

_VERSION = "2012-10-17"


def documents(config: PlatformConfig, _plan: ClusterPlan) -> dict[str, Document]:
    """Path -> document.

    Raises:
        ProfileError: the profile names something at AWS whose ARN cannot be told from it.
    """
    cluster = cluster_of(config)
    spaces = cluster.namespaces
    holders = [
        (names.WORKER_ACCOUNT, spaces.application, [*s3(config), *opensearch(config)]),
        (names.LITELLM_ACCOUNT, spaces.gateway, bedrock(config)),
        ("langfuse", spaces.observability, langfuse_bucket(config)),  # its chart makes the account
        ("external-secrets", names.EXTERNAL_SECRETS_NAMESPACE, secrets_manager(config)),
    ]
    made: dict[str, Document] = {}
    associations = []
    for account, namespace, statements in holders:
        if not statements:
            continue
        made[f"iam/{account}.policy.json"] = {"Version": _VERSION, "Statement": statements}
        made[f"iam/{account}.trust.json"] = _trust(cluster, namespace, account)
        role = f"{cluster.name}-{account}"
        associations.append(
            {"role": role, "document": account, "namespace": namespace, "serviceAccount": account}
        )
    made["iam/associations.json"] = {"cluster": cluster.name, "associations": associations}
    return made


def _trust(cluster: ClusterConfig, namespace: str, account: str) -> Document:
    """Only this service account of this cluster: Pod Identity says in session tags who asks.

    https://docs.aws.amazon.com/eks/latest/userguide/pod-id-role.html
    """
    arn = f"arn:aws:eks:{cluster.region}:{cluster.account_id}:cluster/{cluster.name}"
    statement: Statement = {
        "Sid": "PodIdentity",
        "Effect": "Allow",
        "Principal": {"Service": "pods.eks.amazonaws.com"},
        "Action": ["sts:AssumeRole", "sts:TagSession"],
        "Condition": {
            "StringEquals": {
                "aws:RequestTag/eks-cluster-arn": arn,
                "aws:RequestTag/kubernetes-namespace": namespace,
                "aws:RequestTag/kubernetes-service-account": account,
            }
        },
    }
    return {"Version": _VERSION, "Statement": [statement]}
