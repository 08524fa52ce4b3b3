"""Pods and Ray clusters within objects of kinds that nobody here knows."""

from __future__ import annotations

from cluster.lint.templates import container_lists, pod_templates, ray_specs

POD = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c"}]}}


def test_templates_at_any_depth() -> None:
    value = {
        "spec": {
            "roles": [{"template": POD}],
            "workerTemplate": POD,
            "jobTemplate": {"spec": {"template": POD}},
        }
    }
    assert list(pod_templates(value)) == [
        ("spec", "roles", 0, "template"),
        ("spec", "workerTemplate"),
        ("spec", "jobTemplate", "spec", "template"),
    ]


def test_what_is_none() -> None:
    others = [
        {"template": {"spec": {"containers": []}}},
        {"template": {"spec": {"containers": [1]}}},
        {"template": {"spec": POD["spec"], "other": 1}},
        {"other": POD},
        {"openAPIV3Schema": {"template": POD}},
        {"template": [POD]},
    ]
    assert [list(pod_templates(value)) for value in others] == [[]] * len(others)


def test_specs_of_ray_clusters() -> None:
    cluster = {"headGroupSpec": {"template": POD}, "workerGroupSpecs": [{"template": POD}]}
    value = {
        "spec": {"template": {"metadata": {}, "spec": cluster}, "others": [cluster, {"headGroupSpec": 1}]}
    }
    assert list(ray_specs(value)) == [("spec", "template", "spec"), ("spec", "others", 0)]


def test_containers_that_are_in_no_template() -> None:
    containers = POD["spec"]["containers"]
    value = {
        "spec": {
            "template": {"containers": containers},
            "predictor": {"initContainers": containers, "containers": []},
            "worker": POD | {"other": 1},
            "podTemplate": POD,
            "containers": ["names", "only"],
        }
    }
    assert list(container_lists(value)) == [
        ("spec", "template", "containers"),
        ("spec", "predictor", "initContainers"),
        ("spec", "worker", "spec", "containers"),
    ]
