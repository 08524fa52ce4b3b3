"""Profiles to render: those of configs/, with changes, and the plan that follows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cluster.plan import plan
from cluster.plan_types import ClusterPlan
from configs.load import Profile, parse_platform, read_profile
from configs.schema import ClusterConfig, PlatformConfig

ROOT = Path(__file__).resolve().parents[4]
PROFILES = ("eks-graviton", "eks-gpu", "eks-neuron")


class Planned(NamedTuple):
    """What every family of objects is made from."""

    config: PlatformConfig
    plan: ClusterPlan

    @property
    def cluster(self) -> ClusterConfig:
        assert self.config.cluster is not None
        return self.config.cluster


@cache
def _profile(name: str) -> Profile:
    return read_profile(ROOT / "configs" / f"{name}.yaml")


@cache
def _unchanged(name: str) -> Planned:
    profile = _profile(name)
    return Planned(profile.platform, plan(profile))


def _planned(name: str, **changes: Any) -> Planned:
    """`cluster__compute="auto-mode"` changes `cluster.compute`."""
    if not changes:
        return _unchanged(name)
    profile = _profile(name)
    document = profile.platform.model_dump(mode="json", exclude_unset=True)
    for path, value in changes.items():
        *parents, last = path.split("__")
        part = document
        for parent in parents:
            part = part.setdefault(parent, {})
        part[last] = value
    changed = dataclasses.replace(profile, platform=parse_platform(document))
    return Planned(changed.platform, plan(changed))


@pytest.fixture(scope="session")
def planned() -> Callable[..., Planned]:
    """`planned("eks-gpu", cluster__compute="auto-mode")`."""
    return _planned


@pytest.fixture(params=PROFILES)
def each(request: pytest.FixtureRequest) -> Planned:
    """Every profile in turn."""
    return _planned(request.param)
