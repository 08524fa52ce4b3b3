"""Dashboards: Grafana's own rules of places and ids, and what each is for."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from cluster.render.dashboards.config_maps import dashboards
from serve_app.telemetry.metrics import ALL


def loaded(planned: Any) -> dict[str, dict[str, Any]]:
    texts = [text for one in dashboards(*planned) for text in one["data"].values()]
    return {document["uid"]: document for document in map(json.loads, texts)}


def test_there_are_four(each: Any) -> None:
    assert set(loaded(each)) == {"manta-agents", "manta-models", "manta-resources", "manta-cost"}


def test_panels_do_not_overlap(each: Any) -> None:
    for dashboard in loaded(each).values():
        taken: set[tuple[int, int]] = set()
        for panel in dashboard["panels"]:
            place = panel["gridPos"]
            assert place["x"] + place["w"] <= 24
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert not cells & taken, panel["title"]
            taken |= cells
        ids = [panel["id"] for panel in dashboard["panels"]]
        assert len(ids) == len(set(ids))


def test_they_name_no_data_source_and_fit_a_config_map(each: Any) -> None:
    for one in dashboards(*each):
        (text,) = one["data"].values()
        assert len(text) < 900_000
        for panel in json.loads(text)["panels"]:
            assert panel.get("datasource", {"uid": "${datasource}"})["uid"] == "${datasource}"


def test_every_metric_of_ours_is_on_a_dashboard(planned: Callable[..., Any]) -> None:
    text = json.dumps(loaded(planned("eks-gpu")))
    missing = {metric.name for metric in ALL if f"ray_{metric.name}" not in text}
    assert not missing


def test_cost_is_by_tenant_and_model_and_beside_what_nodes_cost(each: Any) -> None:
    cost = json.dumps(loaded(each)["manta-cost"])
    assert "sum by (tenant, model)" in cost
    usd = each.plan.total.expected.on_demand
    assert usd is None or f"vector({usd:.4f})" in cost


def test_the_namespace_is_the_profiles(planned: Callable[..., Any]) -> None:
    made = planned("eks-graviton", cluster__namespaces={"application": "chat"})
    for document in loaded(made).values():
        chosen = [one for one in document["templating"]["list"] if one["name"] == "namespace"]
        assert chosen[0]["current"]["value"] == "chat"


def test_without_monitoring_there_are_none(planned: Callable[..., Any]) -> None:
    assert dashboards(*planned("eks-graviton", cluster__parts__monitoring=None)) == []
