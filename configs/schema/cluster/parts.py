"""What is rendered around Ray to watch it, to feed it and to use it: monitors, traces, Langfuse, ingestion, kagent.

Part of the `cluster` section. Images, and everything else with a digest, are in `ImagesConfig`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from configs.schema.base import SecretRef, Strict, Url

LabelName = Annotated[
    str, StringConstraints(pattern=r"^([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$")
]
LabelValue = Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$")]
_Namespace = Annotated[str, StringConstraints(pattern=r"^[a-z]([a-z0-9-]{0,40}[a-z0-9])?$")]
_HostAndPort = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]*:[0-9]{1,5}$")]
_Bucket = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]


class MonitoringPart(Strict):
    """Who finds the PodMonitors, rules and dashboards, and how."""

    labels: dict[LabelName, LabelValue] = Field(
        default={"release": "kube-prometheus-stack"},
        description="Labels of monitors and rules by which the Prometheus operator chooses them: its chart's release.",
    )
    dashboard_labels: dict[LabelName, LabelValue] = Field(
        default={"grafana_dashboard": "1"},
        description="Labels of dashboards by which Grafana's sidecar finds their ConfigMaps.",
    )
    interval_s: int = Field(
        default=15,
        ge=5,
        le=60,
        description="Seconds between two scrapes. Processes of Ray report every 10 s.",
    )
    runbook_url: Url | None = Field(
        default=None,
        description="Page whose sections are named like the alerts, for a link in each; None: the alert's own lines.",
    )


class CollectorPart(Strict):
    """The OpenTelemetry collector: where the application's and LiteLLM's traces go, and from there on."""

    replicas: int = Field(default=2, ge=1, le=20, description="Pods.")
    cpus: float = Field(default=0.5, gt=0, description="CPUs of a pod.")
    memory_gib: float = Field(default=1.0, ge=0.25, description="Memory of a pod, in GiB.")
    otlp_url: Url | None = Field(
        default=None,
        description="Where traces are sent on to, by OTLP over HTTP, without `/v1/traces` (Tempo, Jaeger, a vendor). "
        "None, and without `parts.langfuse`: nowhere, they are only counted.",
    )
    otlp_authorization: SecretRef | None = Field(
        default=None, description="Value of the `Authorization` header there; None: none is sent."
    )


class ClickHouseReference(Strict):
    """A ClickHouse that is there already."""

    address: _HostAndPort = Field(description="`HOST:PORT` of its HTTP interface.")
    native_port: int = Field(
        default=9000, ge=1, le=65535, description="Port of its native protocol, by which tables are made."
    )
    password: SecretRef = Field(
        default=SecretRef(env="LANGFUSE_CLICKHOUSE_PASSWORD"), description="Of its user `default`."
    )


class LangfusePart(Strict):
    """Values for Langfuse's Helm chart, 2.0. Its stores are there already, by their addresses."""

    url: Url = Field(description="Address under which people open it.")
    postgres: _HostAndPort = Field(description="`HOST:PORT` of its Postgres, with a database `langfuse`.")
    postgres_user: str = Field(default="langfuse", min_length=1, description="User of it.")
    redis: _HostAndPort = Field(
        description="`HOST:PORT` of its Redis, with `maxmemory-policy noeviction` and TLS."
    )
    clickhouse: ClickHouseReference | None = Field(
        default=None,
        description="A ClickHouse 25.12 or later; None: the chart makes one, by ClickHouse's operator.",
    )
    bucket: _Bucket = Field(description="S3 bucket for events, exports and media.")
    postgres_password: SecretRef = Field(
        default=SecretRef(env="LANGFUSE_POSTGRES_PASSWORD"), description="Of its user in Postgres."
    )
    redis_password: SecretRef = Field(
        default=SecretRef(env="LANGFUSE_REDIS_PASSWORD"), description="Of its Redis."
    )
    salt: SecretRef = Field(default=SecretRef(env="LANGFUSE_SALT"), description="Of its hashes of API keys.")
    encryption_key: SecretRef = Field(
        default=SecretRef(env="LANGFUSE_ENCRYPTION_KEY"), description="256 bits, as 64 hex digits."
    )
    session_secret: SecretRef = Field(
        default=SecretRef(env="LANGFUSE_SESSION_SECRET"), description="Of its users' sessions."
    )
    public_key: SecretRef = Field(
        default=SecretRef(env="LANGFUSE_PUBLIC_KEY"), description="Of the project that traces go to."
    )
    secret_key: SecretRef = Field(default=SecretRef(env="LANGFUSE_SECRET_KEY"), description="Likewise.")


class IngestionPart(Strict):
    """Pods that sync `knowledge.sources` while any of them is not current, and are gone afterwards (KEDA)."""

    prometheus_url: Url = Field(description="Prometheus' query API: where KEDA asks how the sources stand.")
    prometheus_auth: Literal["none", "sigv4"] = Field(
        default="none", description="`sigv4`: Amazon Managed Prometheus, with the role of KEDA's operator."
    )
    workers: int = Field(default=2, ge=1, le=64, description="Processes of a pod that parse and embed.")
    memory_gib: float = Field(default=8.0, ge=2, description="Memory of a pod, in GiB.")
    every_s: int = Field(
        default=300, ge=30, description="Seconds between two looks at the sources, while a pod is there."
    )
    idle_s: int = Field(
        default=900, ge=60, description="Seconds for which all sources must be current before the pod goes."
    )


class KagentPart(Strict):
    """The declared agents once more, for kagent 0.9 (v1alpha2) to run in its own loop."""

    namespace: _Namespace = Field(
        default="kagent", description="Where kagent runs agents; its chart makes the namespace."
    )
    api_key_secret: _Namespace = Field(
        default="manta-api-key", description="Secret there with a key for LiteLLM, or for the application."
    )
    api_key_name: str = Field(default="api-key", min_length=1, description="The key's name in that Secret.")


class PartSwitches(Strict):
    """Parts that watch, feed and use Ray. What is None is left out."""

    monitoring: MonitoringPart | None = Field(
        default=MonitoringPart(),
        description="PodMonitors, rules and dashboards, for the Prometheus operator and Grafana.",
    )
    collector: CollectorPart | None = Field(
        default=None, description="An OpenTelemetry collector for traces; needs `images.collector`."
    )
    langfuse: LangfusePart | None = Field(default=None, description="Values for Langfuse's chart.")
    ingestion: IngestionPart | None = Field(
        default=None, description="Ingestion in pods of its own, scaled by KEDA."
    )
    kagent: KagentPart | None = Field(default=None, description="kagent resources for the declared agents.")

    @model_validator(mode="after")
    def _watched(self) -> PartSwitches:
        if self.ingestion is not None and self.monitoring is None:
            raise ValueError("ingestion is scaled by what Prometheus reads: it needs monitoring")
        return self
