"""Values for Langfuse's Helm chart, 2.0.0: its stores by address, its secrets by reference.

    helm upgrade --install langfuse langfuse/langfuse --version 2.0.0 -n NAMESPACE -f langfuse/values.yaml

Not an object: Langfuse is installed by its own chart, of which kustomize knows nothing. Keys are those of the chart's
README (langfuse/langfuse-k8s, charts/langfuse/README.md, version 2.0.0, 2026-11).
"""

from __future__ import annotations

from cluster.plan_types import ClusterPlan
from cluster.render import names
from cluster.render.objects import Document
from cluster.section import cluster_of
from configs.schema import ClusterConfig, LangfusePart, PlatformConfig, SecretRef

CHART_VERSION = "2.0.0"
PATH = "langfuse/values.yaml"


def langfuse(config: PlatformConfig, _plan: ClusterPlan) -> dict[str, Document]:
    """The file; none, where the profile has no `parts.langfuse`."""
    cluster = cluster_of(config)
    part = cluster.parts.langfuse
    return {} if part is None else {PATH: values(cluster, part)}


def values(cluster: ClusterConfig, part: LangfusePart) -> Document:
    """The chart's values."""
    return {
        "langfuse": {
            "nextauth": {"url": part.url, "secret": _from(part.session_secret)},
            "salt": _from(part.salt),
            "encryptionKey": _from(part.encryption_key),
            "features": {"telemetryEnabled": False, "signUpDisabled": True},
            "replicas": 2,
            "serviceAccount": {"create": True, "name": "langfuse"},
            "nodeSelector": {names.ROLE_LABEL: "system"},
            "tolerations": [names.role_toleration("system")],
            "pod": {"labels": names.labels("langfuse")},
            "podSecurityContext": {
                "runAsNonRoot": True,
                # Of both images; they name their users (nextjs, expressjs), and a name the kubelet refuses.
                "runAsUser": 1001,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            "logging": {"format": "json"},
        },
        "postgresql": {
            "deploy": False,
            **_host_and_port(part.postgres),
            "auth": {
                "username": part.postgres_user,
                "database": "langfuse",
                "existingSecret": names.OBSERVABILITY_SECRET,
                "secretKeys": {"userPasswordKey": part.postgres_password.env},
            },
        },
        "redis": {
            "deploy": False,
            **_host_and_port(part.redis),
            "tls": {"enabled": True},
            "auth": {
                "existingSecret": names.OBSERVABILITY_SECRET,
                "existingSecretPasswordKey": part.redis_password.env,
            },
        },
        "clickhouse": _clickhouse(part),
        # Without keys the pods' own role counts: EKS Pod Identity of the service account.
        "s3": {
            "deploy": False,
            "bucket": part.bucket,
            "region": cluster.region,
            "forcePathStyle": False,
            "eventUpload": {"prefix": "events/"},
            "batchExport": {"enabled": True, "prefix": "exports/"},
            "mediaUpload": {"prefix": "media/"},
        },
    }


def _clickhouse(part: LangfusePart) -> Document:
    if part.clickhouse is None:
        # Made by the chart, by ClickHouse's operator, which has to be there; its password is the chart's own.
        return {"deploy": True, "cluster": {"replicas": 2}, "keeper": {"replicas": 3}}
    host, _, port = part.clickhouse.address.partition(":")
    return {
        "deploy": False,
        "host": host,
        "httpPort": int(port),
        "nativePort": part.clickhouse.native_port,
        "auth": {
            "existingSecret": names.OBSERVABILITY_SECRET,
            "existingSecretKey": part.clickhouse.password.env,
        },
    }


def _from(secret: SecretRef) -> Document:
    return {"secretKeyRef": {"name": names.OBSERVABILITY_SECRET, "key": secret.env}}


def _host_and_port(address: str) -> Document:
    host, _, port = address.partition(":")
    return {"host": host, "port": int(port)}
