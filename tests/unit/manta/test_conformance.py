"""`manta conformance`: its options, and what it knows of a profile before anything is started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from benchmarks.conformance.catalogue import NAMES
from configs.load import read_profile
from manta.commands import conformance

PROFILE = Path(__file__).resolve().parents[3] / "configs" / "faults.yaml"


def test_the_faults_are_listed() -> None:
    result = CliRunner().invoke(conformance.command, ["--list"], standalone_mode=False)
    assert result.output.split() == list(NAMES)


def test_the_profile_has_what_the_rows_need() -> None:
    platform = read_profile(PROFILE).platform
    first = platform.models[0].scaling
    assert first.min_replicas == platform.ingress.scaling.min_replicas == 2
    assert any(model.scaling.min_replicas == 0 for model in platform.models)
    assert conformance.narrow_model(platform) == "narrow"


@pytest.mark.parametrize("arguments", [["--faults", "earthquake"], ["--do", "updated"], ["--do", "quake=x"]])
def test_what_is_no_fault_is_refused(arguments: list[str]) -> None:
    result = CliRunner().invoke(conformance.command, arguments, standalone_mode=False)
    assert isinstance(result.exception, click.BadParameter)


def test_commands_are_kept_as_they_are() -> None:
    given: list[Any] = ["updated=kubectl rollout restart x=y"]
    assert conformance.commands_of(given) == {"updated": "kubectl rollout restart x=y"}
