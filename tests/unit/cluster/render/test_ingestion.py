"""Ingestion that KEDA scales by how the sources stand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cluster.render import names
from cluster.render.ingestion import ingestion
from configs.load import ProfileError, read_profile
from serve_app.messages import Standing
from serve_app.retrieval.ingest.__main__ import _arguments

SOURCES = [{"kind": "s3", "name": "handbook", "url": "s3://example-bucket/handbook/"}]
STORE = {
    "kind": "opensearch",
    "url": "http://opensearch.manta-knowledge:9200",
    "auth": {"kind": "basic", "user": "manta", "password": {"env": "MANTA_OPENSEARCH_PASSWORD"}},
}


def made(planned: Callable[..., Any], store: dict[str, Any] = STORE, **part: Any) -> list[dict[str, Any]]:
    settings = {"prometheus_url": "http://prometheus.monitoring:9090"} | part
    knowledge = planned("eks-graviton").config.knowledge.model_dump(mode="json", exclude_unset=True)
    return ingestion(
        *planned(
            "eks-graviton",
            knowledge=knowledge | {"sources": SOURCES, "store": store},
            cluster__parts__ingestion=settings,
        )
    )


def of_kind(objects: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = [one for one in objects if one["kind"] == kind]
    return found


def test_keda_scales_the_deployment_between_nothing_and_one(planned: Callable[..., Any]) -> None:
    objects = made(planned, idle_s=1200)
    scaled = of_kind(objects, "ScaledObject")["spec"]
    assert scaled["scaleTargetRef"]["name"] == of_kind(objects, "Deployment")["metadata"]["name"]
    assert (scaled["minReplicaCount"], scaled["maxReplicaCount"], scaled["cooldownPeriod"]) == (0, 1, 1200)
    assert "replicas" not in of_kind(objects, "Deployment")["spec"]


def test_it_comes_for_every_standing_but_fresh(planned: Callable[..., Any]) -> None:
    (trigger,) = of_kind(made(planned), "ScaledObject")["spec"]["triggers"]
    for standing in Standing:
        assert (standing.value in trigger["metadata"]["query"]) == (standing is not Standing.FRESH)
    assert all(isinstance(value, str) for value in trigger["metadata"].values())  # KEDA takes texts only


def test_amazons_prometheus_is_asked_with_kedas_role(planned: Callable[..., Any]) -> None:
    objects = made(planned, prometheus_auth="sigv4")
    (trigger,) = of_kind(objects, "ScaledObject")["spec"]["triggers"]
    assert (
        trigger["authenticationRef"]["name"] == of_kind(objects, "TriggerAuthentication")["metadata"]["name"]
    )
    assert trigger["metadata"]["awsRegion"] == "us-east-1"


def test_the_pod_runs_a_command_that_there_is_on_a_profile_that_can_be_read(
    planned: Callable[..., Any], tmp_path: Path
) -> None:
    objects = made(planned, workers=3)
    (container,) = of_kind(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["command"][:3] == ["python", "-m", "serve_app.retrieval.ingest"]
    given = _arguments(container["command"][3:])
    assert (given.workers, given.address, given.every) == (3, "local", 300.0)
    mounts = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
    config_map = of_kind(objects, "ConfigMap")
    ((file, text),) = config_map["data"].items()
    assert str(given.profile) == f"{mounts[config_map['metadata']['name']]}/{file}"
    (tmp_path / file).write_text(text)
    profile = read_profile(tmp_path / file)
    assert [one.name for one in profile.platform.knowledge.sources] == ["handbook"]
    assert profile.platform.cluster is None


def test_it_has_the_passwords_that_it_needs_by_reference(planned: Callable[..., Any]) -> None:
    (container,) = of_kind(made(planned), "Deployment")["spec"]["template"]["spec"]["containers"]
    references = [one["valueFrom"]["secretKeyRef"] for one in container["env"] if "valueFrom" in one]
    assert {"name": names.APPLICATION_SECRET, "key": "MANTA_OPENSEARCH_PASSWORD"} in references


def test_a_store_with_one_writer_is_refused(planned: Callable[..., Any]) -> None:
    knowledge = {
        "store": {"kind": "milvus", "uri": "http://milvus.data:19530"},
        "sources": SOURCES,
        "scaling": {"num_cpus": 0.5},
    }
    part = {"prometheus_url": "http://prometheus:9090"}
    changes = {"knowledge": knowledge, "cluster__parts__opensearch": None, "cluster__parts__ingestion": part}
    with pytest.raises(ProfileError, match="one writer"):
        ingestion(*planned("eks-graviton", **changes))


def test_without_sources_there_is_nothing_to_ingest(planned: Callable[..., Any]) -> None:
    with pytest.raises(ProfileError, match="sources is empty"):
        ingestion(
            *planned("eks-graviton", cluster__parts__ingestion={"prometheus_url": "http://prometheus:9090"})
        )
