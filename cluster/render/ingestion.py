"""Ingestion in pods of its own: a Deployment that KEDA keeps at nothing while every source is current.

The application tells how its sources stand (`knowledge_sources`); KEDA asks Prometheus, starts a pod when one is stale,
failing or was never looked at, and takes it away when all have been fresh for a while. The pod syncs all sources again
and again. Of several only one could: the sources' leases let no two sync the same at a time.
"""

from __future__ import annotations

import json
from typing import Any

from cluster.plan_types import ClusterPlan
from cluster.render import names
from cluster.render.objects import Object, metadata
from cluster.render.queries import Queries
from cluster.render.workloads import Workload, config_map, deployment, from_secret
from cluster.section import cluster_of
from configs.load import ProfileError
from configs.schema import ClusterConfig, IngestionPart, PlatformConfig
from configs.schema.base import secrets_of
from serve_app.messages import Standing
from serve_app.telemetry.metrics import SOURCES

CONFIG_MAP = "ingestion-profile"
_PROFILE_FOLDER, _PROFILE_FILE = "/etc/manta", "profile.yaml"
_AUTHENTICATION = "ingestion-prometheus"
_POLL_S = 30
# Of Ray Data's own Ray in the pod, whose object store is in /dev/shm, and of documents on their way.
_TEMPORARY_GIB = 20.0
_SHARED_MEMORY_GIB = 1.0


def ingestion(config: PlatformConfig, plan: ClusterPlan) -> list[Object]:
    """The Deployment and what scales it; none, where the profile has no `parts.ingestion`.

    Raises:
        ProfileError: there are no sources, or the store cannot be written by a pod of its own.
    """
    cluster = cluster_of(config)
    part = cluster.parts.ingestion
    if part is None:
        return []
    if not config.knowledge.sources:
        raise ProfileError("cluster.parts.ingestion: knowledge.sources is empty: there is nothing to ingest")
    if config.knowledge.store.kind != "opensearch":
        raise ProfileError(
            f"cluster.parts.ingestion: the {config.knowledge.store.kind} store has one writer, the knowledge base "
            "itself; use opensearch"
        )
    namespace = cluster.namespaces.application
    authentication = [_authentication(namespace)] if part.prometheus_auth == "sigv4" else []
    return [
        config_map(CONFIG_MAP, names.INGESTION, namespace, {_PROFILE_FILE: _profile(config, plan)}),
        _deployment(config, cluster, part, namespace),
        *authentication,
        _scaled_object(cluster, part, namespace),
    ]


def query(namespace: str) -> str:
    """How many sources are not current. Every replica of the knowledge base tells the same."""
    late = "|".join(standing.value for standing in Standing if standing is not Standing.FRESH)
    return f"sum(max by (standing) ({Queries(namespace).of(SOURCES, f'standing=~{json.dumps(late)}')}))"


def _profile(config: PlatformConfig, plan: ClusterPlan) -> str:
    """The profile as a file for the pod: JSON, which is YAML too. What only the cluster needs is left out."""
    args = config.model_dump(mode="json", exclude_unset=True, exclude={"cluster"})
    application = {"name": plan.app_name, "import_path": "serve_app.app:build", "args": args}
    return json.dumps({"applications": [application]}, indent=1, sort_keys=True) + "\n"


def _deployment(
    config: PlatformConfig, cluster: ClusterConfig, part: IngestionPart, namespace: str
) -> Object:
    variables = secrets_of(config.knowledge) | secrets_of(config.embedder)
    made = deployment(
        Workload(
            name=names.INGESTION,
            namespace=namespace,
            account=names.WORKER_ACCOUNT,  # whose role may read the sources' buckets and write to OpenSearch
            image=cluster.images.cpu,
            replicas=None,  # KEDA's
            cpus=float(part.workers),
            memory_gib=part.memory_gib,
            ports={},
            command=[
                *("python", "-m", "serve_app.retrieval.ingest"),
                *("--profile", f"{_PROFILE_FOLDER}/{_PROFILE_FILE}"),
                *("--address", "local"),
                *("--workers", str(part.workers)),
                *("--every", str(part.every_s)),
                *("--dead-letters", "/tmp/dead-letters.jsonl"),  # noqa: S108 (the pod's own; its log names them too)
            ],
            env=[
                {"name": "HOME", "value": "/tmp"},  # noqa: S108
                {"name": "MANTA_HOME", "value": "/tmp/manta"},  # noqa: S108
                *(from_secret(variable, names.APPLICATION_SECRET) for variable in sorted(variables)),
            ],
            files={CONFIG_MAP: _PROFILE_FOLDER},
            temporary_gib=_TEMPORARY_GIB,
            grace_s=60,
        )
    )
    _give_shared_memory(made)
    # Two at a time would wait for each other's leases.
    made["spec"]["strategy"] = {"type": "Recreate"}
    return made


def _give_shared_memory(made: Object) -> None:
    """Containers get 64 MiB of it, which Ray's object store would spill over."""
    spec: dict[str, Any] = made["spec"]["template"]["spec"]
    medium = {"medium": "Memory", "sizeLimit": f"{_SHARED_MEMORY_GIB:g}Gi"}
    spec["volumes"].append({"name": "shm", "emptyDir": medium})
    spec["containers"][0]["volumeMounts"].append({"name": "shm", "mountPath": "/dev/shm"})  # noqa: S108


def _scaled_object(cluster: ClusterConfig, part: IngestionPart, namespace: str) -> Object:
    trigger: Object = {
        "type": "prometheus",
        "metricType": "AverageValue",
        "metadata": {
            "serverAddress": part.prometheus_url,
            "query": query(cluster.namespaces.application),
            "threshold": "1",
            "activationThreshold": "0",
            # Nothing told is not the same as nothing to do: say so, and leave the pods as they are.
            "ignoreNullValues": "false",
        },
    }
    if part.prometheus_auth == "sigv4":
        trigger["metadata"]["awsRegion"] = cluster.region
        trigger["authenticationRef"] = {"name": _AUTHENTICATION}
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": metadata(names.INGESTION, names.INGESTION, namespace),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": names.INGESTION},
            "minReplicaCount": 0,
            "maxReplicaCount": 1,
            "pollingInterval": _POLL_S,
            "cooldownPeriod": part.idle_s,
            "triggers": [trigger],
        },
    }


def _authentication(namespace: str) -> Object:
    """Signed with the role of KEDA's own operator: https://keda.sh/docs/2.20/authentication-providers/aws/"""
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "TriggerAuthentication",
        "metadata": metadata(_AUTHENTICATION, names.INGESTION, namespace),
        "spec": {"podIdentity": {"provider": "aws", "identityOwner": "keda"}},
    }
