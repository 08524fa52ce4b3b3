"""LiteLLM's proxy in the cluster: its configuration from the profile's models, pods, a Service, scaling.

What it serves is `cluster.litellm.render`'s, so that the models here and on a laptop are the same. Secrets are in it by
the names of environment variables, and in the pods by reference.
"""

from __future__ import annotations

import hashlib

import yaml

from cluster.litellm.render import names_of, render
from cluster.plan_types import ClusterPlan
from cluster.render import names
from cluster.render.collector import traces_url
from cluster.render.objects import Object, metadata
from cluster.render.upgrades import service_of_ray
from cluster.render.workloads import (
    Workload,
    config_map,
    deployment,
    disruption_budget,
    from_secret,
    http_probe,
    service,
)
from cluster.section import cluster_of
from configs.load import ProfileError
from configs.schema import GatewayApiEntrance, LiteLLMConfig, PlatformConfig
from configs.schema.base import secrets_of
from configs.schema.cluster.section import ClusterConfig, LiteLLMPart

CONFIG_MAP = "litellm-config"
_CONFIG_FOLDER = "/etc/litellm"
_PORTS = {"http": names.LITELLM_PORT}
# Load balancers stop sending a target that is going within this time (10 s is the least that the AWS Load Balancer
# Controller asks for), and clients that kept a connection open have come back to another one.
_DRAIN_S = 15
_TARGET_CPU_PERCENT = 60


def litellm(config: PlatformConfig, _plan: ClusterPlan) -> list[Object]:
    """LiteLLM's objects; none, where the profile has no `parts.litellm`.

    Raises:
        ProfileError: there is no section `litellm`, LiteLLM does not know a key of it, or the application's address
            has to be told.
    """
    cluster = cluster_of(config)
    part = cluster.parts.litellm
    if part is None:
        return []
    namespace = cluster.namespaces.gateway
    text = as_yaml(config)
    return [
        config_map(CONFIG_MAP, names.LITELLM, namespace, {"config.yaml": text}),
        deployment(_workload(config, cluster, part, text)),
        service(names.LITELLM, namespace, _PORTS),
        disruption_budget(names.LITELLM, namespace),
        _autoscaler(part, namespace),
    ]


def as_yaml(config: PlatformConfig) -> str:
    """LiteLLM's configuration file."""
    text: str = yaml.safe_dump(render(config, upstream(config)), sort_keys=False)
    return text


def upstream(config: PlatformConfig) -> str:
    """Where LiteLLM finds the application: where `litellm.upstream` says, else Ray's own Service, or its Gateway.

    Raises:
        ProfileError: it is behind a Gateway whose proxies have a name that is not known here.
    """
    if config.litellm is not None and config.litellm.upstream is not None:
        return config.litellm.upstream
    cluster = cluster_of(config)
    found = service_of_ray(config)
    if found is None:
        assert isinstance(cluster.entrance, GatewayApiEntrance)
        raise ProfileError(
            f"litellm.upstream: not set; where is the Gateway {names.RAY_GATEWAY} of KubeRay? Its address is the "
            f"Service that the class {cluster.entrance.gateway_class} makes for it"
        )
    service, port = found
    address = f"http://{service}.{cluster.namespaces.application}.svc.cluster.local"
    return address if port == 80 else f"{address}:{port}"


def _workload(config: PlatformConfig, cluster: ClusterConfig, part: LiteLLMPart, text: str) -> Workload:
    image, settings = cluster.images.litellm, config.litellm
    assert image is not None  # the schema sees to it
    assert settings is not None  # `render` has refused
    return Workload(
        name=names.LITELLM,
        namespace=cluster.namespaces.gateway,
        account=names.LITELLM_ACCOUNT,
        image=image,
        replicas=None,  # the HorizontalPodAutoscaler's
        cpus=part.cpus,
        memory_gib=part.memory_gib,
        ports=_PORTS,
        command=[
            *("python", "-m", "uvicorn", "cluster.litellm.proxy:app"),
            *("--host", "0.0.0.0"),  # noqa: S104 (the pod's own; the network's rules say who reaches it)
            *("--port", str(names.LITELLM_PORT)),
            *("--workers", str(settings.num_workers)),
            *("--log-level", "warning"),
            *("--timeout-graceful-shutdown", str(_grace_s(config))),
        ],
        env=_environment(config, settings),
        # LiteLLM's tables: made, or brought up to its version. Several at once wait for each other in Postgres.
        prepare=() if settings.database is None else ("python", "-m", "litellm.proxy.prisma_migration"),
        prepare_env=_database(settings),
        files={CONFIG_MAP: _CONFIG_FOLDER},
        checksum=hashlib.sha256(text.encode()).hexdigest(),
        probes={
            # The first start may have to wait for its Postgres.
            "startupProbe": http_probe("/health/liveliness", "http", periodSeconds=5, failureThreshold=60),
            "readinessProbe": http_probe("/health/readiness", "http", periodSeconds=5, timeoutSeconds=5),
            "livenessProbe": http_probe(
                "/health/liveliness", "http", periodSeconds=10, timeoutSeconds=5, failureThreshold=6
            ),
        },
        limits_cpu=False,  # a stream that waits for the scheduler is a stream that stutters
        grace_s=_grace_s(config) + 5,
        drain_s=_DRAIN_S,
        priority=names.SERVING_PRIORITY,
    )


def _grace_s(config: PlatformConfig) -> int:
    """As long as the longest answer may take."""
    return round(config.ingress.max_deadline_s) + 5


def _environment(config: PlatformConfig, settings: LiteLLMConfig) -> list[Object]:
    redis = config.door.redis
    variables = secrets_of(settings) | (set() if redis is None else secrets_of(redis))
    env: list[Object] = [
        {"name": "CONFIG_FILE_PATH", "value": f"{_CONFIG_FOLDER}/config.yaml"},
        {"name": "HOME", "value": "/tmp"},  # noqa: S108 (the pod's own; the rest of it cannot be written)
        {"name": "LITELLM_LOCAL_MODEL_COST_MAP", "value": "True"},
        {"name": "LITELLM_MODE", "value": "PRODUCTION"},
        {"name": "MANTA_GATEWAY_MODELS", "value": ",".join(names_of(config))},
        *_traces(config, settings),
    ]
    env += [from_secret(variable, names.GATEWAY_SECRET) for variable in sorted(variables)]
    trusted = config.door.authentication.gateway
    if trusted is not None:
        env.append(from_secret("MANTA_GATEWAY_SECRET", names.GATEWAY_SECRET, trusted.secret.env))
    return env


def _database(settings: LiteLLMConfig) -> list[Object]:
    """Under the name that Prisma reads; the proxy itself has it from its configuration."""
    database = settings.database
    return [] if database is None else [from_secret("DATABASE_URL", names.GATEWAY_SECRET, database.env)]


def _traces(config: PlatformConfig, settings: LiteLLMConfig) -> list[Object]:
    """Where its own spans go, if it makes any."""
    url = traces_url(config)
    if url is None or "otel" not in settings.callbacks:
        return []
    return [
        {"name": "OTEL_EXPORTER_OTLP_PROTOCOL", "value": "http/protobuf"},
        {"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": url},
        {"name": "OTEL_SERVICE_NAME", "value": names.LITELLM},
    ]


def _autoscaler(part: LiteLLMPart, namespace: str) -> Object:
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata(names.LITELLM, names.LITELLM, namespace),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": names.LITELLM},
            "minReplicas": part.replicas,
            "maxReplicas": part.max_replicas,
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {
                        "name": "cpu",
                        "target": {"type": "Utilization", "averageUtilization": _TARGET_CPU_PERCENT},
                    },
                }
            ],
            "behavior": {
                "scaleUp": {"policies": [{"type": "Percent", "value": 100, "periodSeconds": 30}]},
                # A pod that goes has streams to end; there is no hurry.
                "scaleDown": {
                    "stabilizationWindowSeconds": 600,
                    "policies": [{"type": "Pods", "value": 1, "periodSeconds": 120}],
                },
            },
        },
    }
