from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from cluster.local import restart_reason
from configs.load import Profile, parse_platform


def profile(**args: Any) -> Profile:
    platform = parse_platform(
        {
            "models": [{"name": "mock", "engine": "mock", **args}],
            "embedder": {"name": "embedder", "engine": "mock"},
            "agent": {"models": ["mock"]},
        }
    )
    return Profile(Path("p.yaml"), "manta", "/", "127.0.0.1", 8000, platform)


def test_the_same_profile_needs_no_restart() -> None:
    assert restart_reason(profile(), profile(), num_cpus=1) is None


@pytest.mark.parametrize("change", [{"app_name": "x"}, {"route_prefix": "/x"}, {"host": "::1"}, {"port": 1}])
def test_what_listens_cannot_change(change: dict[str, Any]) -> None:
    reason = restart_reason(profile(), dataclasses.replace(profile(), **change), num_cpus=1)
    (name,) = change
    assert reason == f"p.yaml: {name} changed, which needs a restart"


@pytest.mark.parametrize(
    ("scaling", "needed"),
    [
        ({"num_cpus": 0.5}, 2),  # its half, and a whole one to replace what is small
        ({"num_cpus": 3}, 6),
        ({"num_cpus": 3, "min_replicas": 2, "max_replicas": 2}, 9),
        ({"num_cpus": 3, "min_replicas": 0, "max_replicas": 2}, 6),
    ],
)
def test_there_must_be_cpus_for_every_replica_and_the_largest_once_more(
    scaling: dict[str, Any], needed: int
) -> None:
    wanted = profile(scaling=scaling)
    assert restart_reason(profile(), wanted, num_cpus=needed) is None
    reason = restart_reason(profile(), wanted, num_cpus=needed - 1)
    assert reason is not None
    assert f"needs {needed} CPUs" in reason
