"""Spans by OpenTelemetry's SDK. The only place that imports it.

A provider of our own, and never the process' global one: libraries that trace themselves (Strands, for example) put
prompts into their spans and repeat their children's token counts, and nothing of that is exported.
"""

from __future__ import annotations

import base64
import re
import sys
import uuid
from collections.abc import Sequence

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Span as SdkSpan
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from configs.load import ProfileError, secret
from configs.schema import (
    ConsoleExporter,
    ExporterConfig,
    JaegerExporter,
    LangfuseExporter,
    SecretRef,
    TracingConfig,
)
from serve_app.errors import ConfigError
from serve_app.telemetry.export_queue import ExportQueue
from serve_app.telemetry.metrics import Count
from serve_app.telemetry.spans import Attributes, Kind, Span

_KINDS = {"server": SpanKind.SERVER, "client": SpanKind.CLIENT, "internal": SpanKind.INTERNAL}
# W3C Trace Context; what an ingress reads is checked there already.
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_TIMEOUT_S = 10.0  # of one export
_CLOSE_S = 3.0
_FLAG_SAMPLED = 1


class OtelSpan:
    """A span that is exported."""

    __slots__ = ("_captures", "_span", "traceparent")
    is_recorded = True

    def __init__(self, span: trace.Span, *, captures_content: bool) -> None:
        self._span = span
        self._captures = captures_content
        self.traceparent = _formatted(span.get_span_context())

    def set(self, attributes: Attributes) -> None:
        self._span.set_attributes(attributes)

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def event(self, name: str, attributes: Attributes) -> None:
        self._span.add_event(name, attributes)

    def fail(self, kind: str, message: str) -> None:
        self._span.set_attribute("error.type", kind)
        self._span.set_status(Status(StatusCode.ERROR, message if self._captures else None))

    def end(self) -> None:
        self._span.end()


class DroppedSpan:
    """A span of a trace that is not sampled: it only hands on that it is not."""

    __slots__ = ("traceparent",)
    is_recorded = False

    def __init__(self, traceparent: str) -> None:
        self.traceparent = traceparent

    def set(self, attributes: Attributes) -> None: ...

    def rename(self, name: str) -> None: ...

    def event(self, name: str, attributes: Attributes) -> None: ...

    def fail(self, kind: str, message: str) -> None: ...

    def end(self) -> None: ...


class OtelTracer:
    """A Tracer with its own provider.

    Args:
        name: of the deployment, on every span.
        exporters: each with a queue and a thread of its own.
        count: adds to the application's counters, from any thread.
    """

    def __init__(
        self, config: TracingConfig, name: str, exporters: Sequence[SpanExporter], count: Count
    ) -> None:
        resource = Resource.create(
            {
                "service.name": config.service_name,
                "service.instance.id": uuid.uuid4().hex,
                "manta.deployment": name,
            }
        )
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(config.sample_ratio)),
            resource=resource,
            shutdown_on_exit=False,
        )
        self._queues = [
            ExportQueue(one, config.max_queued_spans, config.export_every_s, count) for one in exporters
        ]
        for queue in self._queues:
            self._provider.add_span_processor(queue)
        self._tracer = self._provider.get_tracer("manta")
        self.captures_content = config.capture_content

    def start(self, name: str, parent: str | None, attributes: Attributes, kind: Kind = "internal") -> Span:
        context = Context()  # and not the ambient one
        found = None if parent is None else _TRACEPARENT.fullmatch(parent)
        if found is not None:
            flags = int(found[3], 16)
            if not flags & _FLAG_SAMPLED:
                return DroppedSpan(found[0])
            above = SpanContext(
                int(found[1], 16), int(found[2], 16), is_remote=True, trace_flags=TraceFlags(flags)
            )
            context = trace.set_span_in_context(NonRecordingSpan(above), context)
        span = self._tracer.start_span(
            name, context, _KINDS[kind], attributes, record_exception=False, set_status_on_exception=False
        )
        if not isinstance(span, SdkSpan):
            return DroppedSpan(_formatted(span.get_span_context()))
        return OtelSpan(span, captures_content=self.captures_content)

    def close(self) -> None:
        """Export what waits, for a few seconds at most. Blocks."""
        for queue in self._queues:
            queue.close(_CLOSE_S)


def open_otel(config: TracingConfig, name: str, count: Count) -> OtelTracer:
    """The tracer that a configuration describes; it has an exporter.

    Raises:
        ConfigError: a secret is not set.
    """
    return OtelTracer(config, name, [_exporter(one) for one in config.exporters], count)


def _exporter(config: ExporterConfig) -> SpanExporter:
    if isinstance(config, ConsoleExporter):
        return ConsoleSpanExporter(out=sys.stderr, formatter=lambda span: span.to_json(indent=None) + "\n")
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    if isinstance(config, LangfuseExporter):
        endpoint = f"{config.base_url.rstrip('/')}/api/public/otel/v1/traces"
        headers = {"authorization": langfuse_authorization(config), "x-langfuse-ingestion-version": "4"}
        return OTLPSpanExporter(endpoint, headers=headers, timeout=_TIMEOUT_S)
    if isinstance(config, JaegerExporter):
        return OTLPSpanExporter(config.endpoint, timeout=_TIMEOUT_S)
    given = {header.lower(): _secret(reference) for header, reference in config.headers.items()}
    return OTLPSpanExporter(config.endpoint, headers=given or None, timeout=_TIMEOUT_S)


def langfuse_authorization(config: LangfuseExporter) -> str:
    """HTTP basic authentication: the public key as the user, the secret one as the password.

    Raises:
        ConfigError: one of them is not set.
    """
    pair = f"{_secret(config.public_key)}:{_secret(config.secret_key)}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def _secret(reference: SecretRef) -> str:
    try:
        return secret(reference)
    except ProfileError as exc:
        raise ConfigError(f"tracing: {exc}") from exc


def _formatted(context: SpanContext) -> str:
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
