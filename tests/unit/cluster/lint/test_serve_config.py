"""Serve configs by themselves: what Ray's models would refuse, and what they would swallow."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.lint.lint import lint

ROOT = Path(__file__).parents[4]


def said(text: str) -> list[str]:
    return [f"{found.rule} {found.place.path}" for found in lint(["-"], stdin=lambda: text)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("applications: []", ["serve/application applications"]),
        ("applications: [{name: a}]", ["serve/required applications[0]"]),
        ("import_path: a:b:c", ["serve/import-path import_path"]),
        ("import_path: a", ["serve/import-path import_path"]),
        ("import_path: a.b", []),
        ("applications: [{import_path: a:b, host: x}]", ["serve/http applications[0].host"]),
        (
            "applications: [{import_path: a:b}, {import_path: c:d, route_prefix: /c}]",
            ["serve/application applications[1]"],
        ),
        (
            "{import_path: a:b, deployments: [{name: d, num_replicas: many}]}",
            ["serve/scaling deployments[0].num_replicas"],
        ),
        ("{import_path: a:b, deployments: [{name: d, num_replicas: auto}]}", []),
        (
            "{import_path: a:b, deployments: [{name: d, num_replicas: 0}]}",
            ["serve/scaling deployments[0].num_replicas"],
        ),
        (
            "{import_path: a:b, deployments: [{name: d, autoscaling_config: {min_replicas: 2}}]}",
            ["scaling/min-max deployments[0].autoscaling_config.min_replicas"],
        ),
        (
            "{import_path: a:b, deployments: [{name: d, num_replicas: auto, autoscaling_config: {min_replicas: 2}}]}",
            [],
        ),
        (
            "{import_path: a:b, runtime_env: {env_vars: {A: 1}}}",
            ["serve/runtime-env runtime_env.env_vars.A"],
        ),
        ("{import_path: a:b, runtime_env: {pips: [x]}}", ["serve/runtime-env runtime_env.pips"]),
        ("{import_path: a:b, runtime_env: {working_dir: 's3://b/x.zip'}}", []),
        (
            "{import_path: a:b, deployments: [{name: d, max_queued_requests: 0}]}",
            ["serve/value deployments[0].max_queued_requests"],
        ),
        (
            "{import_path: a:b, external_scaler_enabled: true, deployments: [{name: d, num_replicas: auto}]}",
            ["serve/scaling deployments[0]"],
        ),
        ("{import_path: a:b, deployments: [{name: d}, {name: d}]}", ["serve/deployment deployments[1]"]),
    ],
)
def test_configs(text: str, found: list[str]) -> None:
    assert said(text) == found


def test_settings_of_our_own_application() -> None:
    assert "serve/platform args.modelz" in said("{import_path: 'serve_app.app:build', args: {modelz: []}}")


@pytest.mark.parametrize("path", sorted(ROOT.glob("configs/*.yaml")), ids=lambda path: path.name)
def test_our_own_profiles_are_right(path: Path) -> None:
    assert lint([str(path)]) == []
