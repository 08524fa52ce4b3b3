"""The collector: what the application sends it is what it takes, and it sends it on with secrets by reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import yaml

from cluster.render import names
from cluster.render.collector import OTLP_PORT, collector, traces_url
from cluster.render.external_secrets import of_observability

LANGFUSE = {
    "url": "https://traces.example.com",
    "postgres": "postgres.example.com:5432",
    "redis": "redis.example.com:6379",
    "bucket": "manta-langfuse",
}
SECRETS = {
    name: {"remote": f"manta/langfuse/{name.lower()}"}
    for name in (
        "LANGFUSE_POSTGRES_PASSWORD",
        "LANGFUSE_REDIS_PASSWORD",
        "LANGFUSE_CLICKHOUSE_PASSWORD",
        "LANGFUSE_SALT",
        "LANGFUSE_ENCRYPTION_KEY",
        "LANGFUSE_SESSION_SECRET",
        "LANGFUSE_PUBLIC_KEY",
        "LANGFUSE_SECRET_KEY",
        "VENDOR_TOKEN",
    )
}


def with_langfuse(planned: Callable[..., Any], **collector_part: Any) -> Any:
    before = planned("eks-graviton").config.cluster.model_dump(mode="json", exclude_unset=True)["secrets"]
    return planned(
        "eks-graviton",
        cluster__parts__langfuse=LANGFUSE,
        cluster__parts__collector=collector_part,
        cluster__secrets=before | SECRETS,
    )


def settings(made: Any) -> dict[str, Any]:
    (config_map,) = [one for one in collector(*made) if one["kind"] == "ConfigMap"]
    loaded: dict[str, Any] = yaml.safe_load(config_map["data"]["config.yaml"])
    return loaded


def environment(made: Any) -> dict[str, dict[str, Any]]:
    (deployment,) = [one for one in collector(*made) if one["kind"] == "Deployment"]
    return {one["name"]: one for one in deployment["spec"]["template"]["spec"]["containers"][0]["env"]}


def test_the_application_sends_where_the_collector_listens(each: Any) -> None:
    (service,) = [one for one in collector(*each) if one["kind"] == "Service"]
    (port,) = service["spec"]["ports"]
    host = f"{service['metadata']['name']}.{service['metadata']['namespace']}"
    for exporter in each.config.tracing.exporters:
        endpoint = exporter.endpoint
        assert endpoint.startswith((f"http://{host}:", f"http://{host}.svc"))
        assert f":{port['port']}/" in endpoint
    assert traces_url(each.config) == f"http://{host}.svc.cluster.local:{OTLP_PORT}"
    assert settings(each)["receivers"]["otlp"]["protocols"]["http"]["endpoint"].endswith(f":{port['port']}")


def test_every_part_of_its_pipelines_is_configured(planned: Callable[..., Any]) -> None:
    for made in (planned("eks-graviton"), with_langfuse(planned, otlp_url="https://tempo.example.com")):
        document = settings(made)
        assert set(document["service"]["extensions"]) == set(document["extensions"])
        for pipeline in document["service"]["pipelines"].values():
            for kind in ("receivers", "processors", "exporters"):
                assert set(pipeline[kind]) == set(document[kind])
        assert document["service"]["pipelines"]["traces"]["processors"][0] == "memory_limiter"


def test_without_anywhere_to_send_to_traces_are_only_counted(planned: Callable[..., Any]) -> None:
    alone = settings(planned("eks-graviton", cluster__parts__collector={}))
    assert alone["exporters"] == {"debug": {"verbosity": "basic"}}


def test_what_it_sends_is_signed_with_secrets_by_reference(planned: Callable[..., Any]) -> None:
    made = with_langfuse(
        planned, otlp_url="https://vendor.example.com", otlp_authorization={"env": "VENDOR_TOKEN"}
    )
    document = settings(made)
    assert (
        document["exporters"]["otlp_http/langfuse"]["endpoint"]
        == "https://traces.example.com/api/public/otel"
    )
    vendor = document["exporters"]["otlp_http/traces"]["headers"]
    assert vendor == {"authorization": "${env:VENDOR_TOKEN}"}
    named = set(of_observability(made.cluster))
    for variable in ("VENDOR_TOKEN", "LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY"):
        reference = environment(made)[variable]["valueFrom"]["secretKeyRef"]
        assert reference == {"name": names.OBSERVABILITY_SECRET, "key": variable}
        assert variable in named
        assert f"${{env:{variable}}}" in str(document)


def test_left_out_there_is_none(planned: Callable[..., Any]) -> None:
    made = planned("eks-graviton", cluster__parts__collector=None)
    assert collector(*made) == []
    assert traces_url(made.config) is None
