"""Traces: what is told of a request, how often, and to whom."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from configs.schema.base import Fraction, SecretRef, Strict, Url


class ConsoleExporter(Strict):
    """Writes spans to the replicas' logs, one JSON document each."""

    kind: Literal["console"]


class OtlpExporter(Strict):
    """Sends spans to a collector by OTLP over HTTP."""

    kind: Literal["otlp"]
    endpoint: Url | None = Field(
        default=None,
        description="Up to and with `/v1/traces`. None: OTEL_EXPORTER_OTLP_TRACES_ENDPOINT or"
        " OTEL_EXPORTER_OTLP_ENDPOINT, else http://localhost:4318/v1/traces.",
    )
    headers: dict[str, SecretRef] = Field(
        default={}, description="Header's name -> its value. Besides those of OTEL_EXPORTER_OTLP_HEADERS."
    )


class JaegerExporter(Strict):
    """Sends spans to Jaeger, which takes OTLP."""

    kind: Literal["jaeger"]
    endpoint: Url = Field(default="http://127.0.0.1:4318/v1/traces", description="Jaeger's collector.")


class LangfuseExporter(Strict):
    """Sends spans, and the judge's scores, to Langfuse."""

    kind: Literal["langfuse"]
    base_url: Url = Field(default="https://cloud.langfuse.com", description="Without a path.")
    public_key: SecretRef = Field(default=SecretRef(env="LANGFUSE_PUBLIC_KEY"), description="The project's.")
    secret_key: SecretRef = Field(default=SecretRef(env="LANGFUSE_SECRET_KEY"), description="The project's.")
    scores_ratio: Fraction = Field(
        default=1.0, description="Of the traces that are kept, how many have their evaluation scores sent."
    )


ExporterConfig = Annotated[
    ConsoleExporter | OtlpExporter | JaegerExporter | LangfuseExporter, Field(discriminator="kind")
]


class TracingConfig(Strict):
    """OpenTelemetry traces. Off without an exporter, and then they cost nothing."""

    exporters: tuple[ExporterConfig, ...] = Field(
        default=(),
        description="Where spans go. None here: what OTEL_TRACES_EXPORTER names (`otlp`, `console`, `jaeger`,"
        " `langfuse`), or OTLP if OTEL_EXPORTER_OTLP_ENDPOINT is set.",
    )
    service_name: str = Field(
        default="manta",
        min_length=1,
        description="`service.name` of the spans; OTEL_SERVICE_NAME overrides it.",
    )
    sample_ratio: Fraction = Field(
        default=1.0,
        description="Share of the requests that are traced, of those whose `traceparent` does not say. Where it is"
        " not given here: OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG.",
    )
    capture_content: bool = Field(
        default=False,
        description="Put questions, prompts and answers into spans. Without it no span holds any text of a user, a"
        " document or a model, errors' messages included.",
    )
    max_queued_spans: int = Field(
        default=4096,
        ge=64,
        description="Spans of one replica that wait; more are dropped and counted.",
    )
    export_every_s: float = Field(default=2.0, gt=0, description="Seconds between two exports.")
