"""The OpenTelemetry collector: takes traces from the application and LiteLLM, and sends them on.

One place that knows where traces go and with which secret, so that it can change without a rollout of Ray. It keeps
nothing: what cannot be sent within its retries is dropped and counted.
"""

from __future__ import annotations

import hashlib
from typing import Any

import yaml

from cluster.plan_types import ClusterPlan
from cluster.render import names
from cluster.render.objects import Object
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
from configs.schema import ClusterConfig, CollectorPart, PlatformConfig
from configs.schema.base import secrets_of

CONFIG_MAP = "otel-collector-config"
OTLP_PORT = 4318
METRICS_PORT, METRICS_PORT_NAME = 8888, "metrics"
_HEALTH_PORT = 13133
_FOLDER = "/etc/otelcol"
_SERVED = {"otlp-http": OTLP_PORT}
# Langfuse's OTLP endpoint, below its address; the header asks for what its version 4 shows at once.
# https://langfuse.com/integrations/native/opentelemetry (2026-11)
_LANGFUSE_PATH = "/api/public/otel"
_LANGFUSE_HEADERS = {"x-langfuse-ingestion-version": "4"}

Document = dict[str, Any]


def collector(config: PlatformConfig, _plan: ClusterPlan) -> list[Object]:
    """The collector's objects; none, where the profile has no `parts.collector`."""
    cluster = cluster_of(config)
    part = cluster.parts.collector
    if part is None:
        return []
    namespace = cluster.namespaces.observability
    text = yaml.safe_dump(settings(cluster, part), sort_keys=False)
    return [
        config_map(CONFIG_MAP, names.COLLECTOR, namespace, {"config.yaml": text}),
        deployment(_workload(cluster, part, text)),
        service(names.COLLECTOR, namespace, _SERVED),
        disruption_budget(names.COLLECTOR, namespace),
    ]


def traces_url(config: PlatformConfig) -> str | None:
    """What OTEL_EXPORTER_OTLP_ENDPOINT is for who sends it traces; None: the cluster has no collector."""
    cluster = cluster_of(config)
    if cluster.parts.collector is None:
        return None
    return f"http://{names.COLLECTOR}.{cluster.namespaces.observability}.svc.cluster.local:{OTLP_PORT}"


def secret_variables(cluster: ClusterConfig) -> tuple[str, ...]:
    """Environment variables with secrets of the collector's pods."""
    part, langfuse = cluster.parts.collector, cluster.parts.langfuse
    if part is None:
        return ()
    named = secrets_of(part)
    if langfuse is not None:
        named |= {langfuse.public_key.env, langfuse.secret_key.env}
    return tuple(sorted(named))


def settings(cluster: ClusterConfig, part: CollectorPart) -> Document:
    """The collector's own configuration."""
    exporters, extensions = _exporters(cluster, part)
    return {
        "extensions": {"health_check": {"endpoint": f"0.0.0.0:{_HEALTH_PORT}"}} | extensions,
        "receivers": {
            "otlp": {"protocols": {"http": {"endpoint": f"0.0.0.0:{OTLP_PORT}", "include_metadata": False}}}
        },
        "processors": {
            # First: it refuses before the memory is full, and the senders try again.
            "memory_limiter": {"check_interval": "1s", "limit_percentage": 80, "spike_limit_percentage": 20},
            "batch": {"send_batch_size": 1024, "send_batch_max_size": 2048, "timeout": "2s"},
        },
        "exporters": exporters,
        "service": {
            "extensions": ["health_check", *extensions],
            "pipelines": {
                "traces": {
                    "receivers": ["otlp"],
                    "processors": ["memory_limiter", "batch"],
                    "exporters": list(exporters),
                }
            },
            "telemetry": {
                "metrics": {
                    "level": "normal",
                    "readers": [
                        {
                            "pull": {
                                "exporter": {"prometheus": {"host": "0.0.0.0", "port": METRICS_PORT}}  # noqa: S104
                            }
                        }
                    ],
                },
                "logs": {"level": "warn", "encoding": "json"},
            },
        },
    }


def _exporters(cluster: ClusterConfig, part: CollectorPart) -> tuple[Document, Document]:
    """Where traces go, and the extensions that sign what goes there. `otlp_http` is its name since collector 0.144."""
    exporters: Document = {}
    extensions: Document = {}
    if part.otlp_url is not None:
        headers = {}
        if part.otlp_authorization is not None:
            headers = {"headers": {"authorization": f"${{env:{part.otlp_authorization.env}}}"}}
        exporters["otlp_http/traces"] = _otlp(part.otlp_url) | headers
    langfuse = cluster.parts.langfuse
    if langfuse is not None:
        extensions["basicauth/langfuse"] = {
            "client_auth": {
                "username": f"${{env:{langfuse.public_key.env}}}",
                "password": f"${{env:{langfuse.secret_key.env}}}",
            }
        }
        exporters["otlp_http/langfuse"] = _otlp(langfuse.url.rstrip("/") + _LANGFUSE_PATH) | {
            "headers": _LANGFUSE_HEADERS,
            "auth": {"authenticator": "basicauth/langfuse"},
        }
    # Counts, and no content: neither names nor attributes of spans are written.
    return exporters or {"debug": {"verbosity": "basic"}}, extensions


def _otlp(url: str) -> Document:
    return {
        "endpoint": url,
        "retry_on_failure": {"enabled": True, "max_elapsed_time": "120s"},
        "sending_queue": {"enabled": True, "queue_size": 512},
    }


def _workload(cluster: ClusterConfig, part: CollectorPart, text: str) -> Workload:
    image = cluster.images.collector
    assert image is not None  # the schema sees to it
    return Workload(
        name=names.COLLECTOR,
        namespace=cluster.namespaces.observability,
        account=names.COLLECTOR_ACCOUNT,
        image=image,
        replicas=part.replicas,
        cpus=part.cpus,
        memory_gib=part.memory_gib,
        ports=_SERVED | {METRICS_PORT_NAME: METRICS_PORT, "health": _HEALTH_PORT},
        command=["/otelcol-contrib", f"--config={_FOLDER}/config.yaml"],
        env=[
            # The collector's own heap follows the pod's memory, so that the limiter comes before the kernel.
            {"name": "GOMEMLIMIT", "value": f"{round(part.memory_gib * 1024 * 0.8)}MiB"},
            *(from_secret(variable, names.OBSERVABILITY_SECRET) for variable in secret_variables(cluster)),
        ],
        files={CONFIG_MAP: _FOLDER},
        checksum=hashlib.sha256(text.encode()).hexdigest(),
        probes={
            "readinessProbe": http_probe("/", "health", periodSeconds=5),
            "livenessProbe": http_probe("/", "health", periodSeconds=10, failureThreshold=6),
        },
    )
