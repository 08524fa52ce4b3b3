"""The profile's part of Terraform's variables: so the cluster and the objects in it speak of the same things.

Beside the objects as `terraform.tfvars.json`; terraform/cluster/variables.tf says what each is. What differs between
environments and is in no profile (addresses, people, sizes of stores, money) is in terraform/environments.
"""

from __future__ import annotations

from cluster.plan_types import ClusterPlan
from cluster.render.iam.documents import documents as iam_documents
from cluster.render.objects import Document
from cluster.section import cluster_of
from configs.load import ProfileError
from configs.schema import ClusterConfig, PlatformConfig

PATH = "terraform.tfvars.json"


def documents(config: PlatformConfig, plan: ClusterPlan) -> dict[str, Document]:
    """Path -> the variables.

    Raises:
        ProfileError: the password of Redis shares its secret with others, or a role's documents cannot be made.
    """
    cluster = cluster_of(config)
    variables = {
        "name": cluster.name,
        "account_id": cluster.account_id,
        "region": cluster.region,
        "zones": list(cluster.zones),
        "vpc_cidr": cluster.network.vpc_cidr,
        "service_cidr": cluster.network.service_cidr,
        "compute": cluster.compute,
        "buckets": _buckets(config, plan),
        "secrets": sorted({source.remote for source in cluster.secrets.values()}),
        "redis_secret": _redis_secret(cluster),
        "roles": _roles(config, plan),
        # From terraform/cluster, whose paths these are.
        "rendered": f"../../kuberay/rendered/{plan.profile}",
    }
    return {PATH: variables}


def _roles(config: PlatformConfig, plan: ClusterPlan) -> Document:
    listed = iam_documents(config, plan)["iam/associations.json"]["associations"]
    return {
        one["document"]: {
            "role": one["role"],
            "namespace": one["namespace"],
            "service_account": one["serviceAccount"],
        }
        for one in listed
    }


def _buckets(config: PlatformConfig, plan: ClusterPlan) -> list[str]:
    """Those that some role may list: a profile's role may list each bucket that it names."""
    policies = [body for path, body in iam_documents(config, plan).items() if path.endswith(".policy.json")]
    statements = [statement for policy in policies for statement in policy["Statement"]]
    listed = {
        arn
        for statement in statements
        if statement["Action"] == ["s3:ListBucket"]
        for arn in statement["Resource"]
    }
    return sorted(arn.removeprefix("arn:aws:s3:::") for arn in listed)


def _redis_secret(cluster: ClusterConfig) -> Document | None:
    """Where Terraform puts the password that it makes; None: Redis has none.

    The secret is written whole, so nothing else may be in it.
    """
    password = cluster.gcs_redis.password
    if password is None:
        return None
    source = cluster.secrets[password.env]
    sharing = [
        name for name, other in cluster.secrets.items() if other.remote == source.remote and other != source
    ]
    if sharing:
        raise ProfileError(
            f"cluster.secrets: {source.remote} has the password of Redis, which Terraform makes, "
            f"and {', '.join(sharing)}; give Redis a secret of its own"
        )
    return {"name": source.remote, "property": source.property}
