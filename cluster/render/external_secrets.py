"""Secrets by reference: the External Secrets Operator copies them from AWS Secrets Manager into Kubernetes.

One Secret for the application, one for the gateway and one for what watches, each with the environment variables that
its pods name. No value is ever here. The operator reads with its own role (`iam/external-secrets.policy.json`), by Pod
Identity: what it does for a store that names no other way (https://external-secrets.io/latest/provider/aws-access/).
"""

from __future__ import annotations

from cluster.plan_types import ClusterPlan
from cluster.render import names
from cluster.render.objects import Object, metadata
from cluster.render.opensearch import secret_variables as opensearch_variables
from cluster.section import cluster_of
from configs.schema import ClusterConfig, PlatformConfig, SecretSource
from configs.schema.base import secrets_of

_API = "external-secrets.io/v1"
_REFRESH = "1h0m0s"


def external_secrets(config: PlatformConfig, _plan: ClusterPlan) -> list[Object]:
    """A store for each namespace that has secrets, and what is fetched into it.

    That `cluster.secrets` has each of them is the schema's to see to.
    """
    cluster = cluster_of(config)
    spaces = cluster.namespaces
    wanted = [(names.APPLICATION_SECRET, spaces.application, of_application(config))]
    if cluster.parts.litellm is not None:
        wanted.append((names.GATEWAY_SECRET, spaces.gateway, of_gateway(config)))
    wanted.append((names.OBSERVABILITY_SECRET, spaces.observability, of_observability(cluster)))
    wanted.append((names.KNOWLEDGE_SECRET, spaces.knowledge, opensearch_variables(config)))
    made = []
    for name, namespace, variables in wanted:
        if variables:
            sources = {variable: cluster.secrets[variable] for variable in variables}
            made += [_store(cluster, namespace), _secret(name, namespace, sources)]
    return made


def of_application(config: PlatformConfig) -> tuple[str, ...]:
    """Environment variables with secrets of Ray's pods."""
    cluster = cluster_of(config)
    named = secrets_of(config.model_copy(update={"litellm": None, "cluster": None}))
    return tuple(sorted(named | secrets_of(cluster.gcs_redis)))


def of_gateway(config: PlatformConfig) -> tuple[str, ...]:
    """Environment variables with secrets of LiteLLM's pods, the one by which it proves itself among them."""
    trusted = config.door.authentication.gateway
    named = set() if trusted is None else {trusted.secret.env}
    for part in (config.litellm, config.door.redis):
        named |= set() if part is None else secrets_of(part)
    return tuple(sorted(named))


def of_observability(cluster: ClusterConfig) -> tuple[str, ...]:
    """Environment variables with secrets of the collector and of Langfuse."""
    named: set[str] = set()
    for part in (cluster.parts.collector, cluster.parts.langfuse):
        named |= set() if part is None else secrets_of(part)
    return tuple(sorted(named))


def _store(cluster: ClusterConfig, namespace: str) -> Object:
    return {
        "apiVersion": _API,
        "kind": "SecretStore",
        "metadata": metadata(names.SECRET_STORE, "secrets", namespace),
        "spec": {"provider": {"aws": {"service": "SecretsManager", "region": cluster.region}}},
    }


def _secret(name: str, namespace: str, sources: dict[str, SecretSource]) -> Object:
    data = []
    for variable, source in sources.items():
        remote = {"key": source.remote} | ({"property": source.property} if source.property else {})
        data.append({"secretKey": variable, "remoteRef": remote})
    return {
        "apiVersion": _API,
        "kind": "ExternalSecret",
        "metadata": metadata(name, "secrets", namespace),
        "spec": {
            "refreshInterval": _REFRESH,
            "secretStoreRef": {"kind": "SecretStore", "name": names.SECRET_STORE},
            # Retain: an outage of Secrets Manager, or a slip of its names, takes no running pod's Secret away.
            "target": {"name": name, "creationPolicy": "Owner", "deletionPolicy": "Retain"},
            "data": data,
        },
    }
