from __future__ import annotations

import pytest

from configs.load import ProfileError, tracing
from configs.schema import LangfuseExporter, OtlpExporter, TracingConfig
from serve_app.errors import ConfigError
from serve_app.telemetry.metrics import count_nothing
from serve_app.telemetry.tracing import Tracing

NAMES = (
    "OTEL_SDK_DISABLED",
    "OTEL_TRACES_EXPORTER",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_SERVICE_NAME",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
    "LANGFUSE_BASE_URL",
    "LANGFUSE_HOST",
    "LANGFUSE_PUBLIC_KEY",
    "LANGFUSE_SECRET_KEY",
)


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def test_nothing_said_is_off() -> None:
    assert tracing(TracingConfig()).exporters == ()
    assert Tracing(TracingConfig(), "x", count_nothing).tracer is None


@pytest.mark.parametrize(
    ("variable", "value", "kinds"),
    [
        ("OTEL_TRACES_EXPORTER", "otlp", ["otlp"]),
        ("OTEL_TRACES_EXPORTER", "console, jaeger,console", ["console", "jaeger"]),
        ("OTEL_TRACES_EXPORTER", "none", []),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318", ["otlp"]),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://collector:4318/v1/traces", ["otlp"]),
    ],
)
def test_the_environment_says_where_spans_go(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, kinds: list[str]
) -> None:
    monkeypatch.setenv(variable, value)
    assert [one.kind for one in tracing(TracingConfig()).exporters] == kinds


def test_the_profile_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.25")
    given = TracingConfig(exporters=(OtlpExporter(kind="otlp"),), sample_ratio=0.5, capture_content=True)
    assert tracing(given) == given
    assert tracing(TracingConfig()).sample_ratio == 0.25
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    assert tracing(TracingConfig()).sample_ratio == 0.0


def test_it_can_be_switched_off_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert tracing(TracingConfig(exporters=(OtlpExporter(kind="otlp"),))).exporters == ()


def test_langfuse_is_where_its_variables_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "langfuse")
    monkeypatch.setenv("LANGFUSE_BASE_URL", "http://langfuse:3000")
    (exporter,) = tracing(TracingConfig()).exporters
    assert isinstance(exporter, LangfuseExporter)
    assert exporter.base_url == "http://langfuse:3000"
    with pytest.raises(ConfigError, match="LANGFUSE_PUBLIC_KEY"):
        Tracing(TracingConfig(), "x", count_nothing)


@pytest.mark.parametrize(
    ("variable", "value"),
    [("OTEL_TRACES_EXPORTER", "zipkin"), ("OTEL_TRACES_SAMPLER", "sometimes")],
)
def test_what_is_not_known_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ProfileError, match=value):
        tracing(TracingConfig())


@pytest.mark.parametrize("value", ["much", "2"])
def test_a_ratio_is_one(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", value)
    with pytest.raises(ProfileError):
        tracing(TracingConfig())
