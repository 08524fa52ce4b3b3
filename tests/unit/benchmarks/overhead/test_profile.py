"""The profile that is measured is one that the application takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.application import write_profile
from benchmarks.overhead.pace import Pace
from benchmarks.overhead.profile import Replicas, has_transports, platform_of
from benchmarks.overhead.ways import all_ways
from configs.load import read_profile
from configs.schema import MockModel


def test_the_pace_and_the_replicas_are_as_asked(tmp_path: Path) -> None:
    asked = platform_of(Pace(7.0, 2.0, 9), Replicas(2, 4), engine={"max_concurrent": 1})
    path = write_profile(tmp_path / "profile.yaml", asked)
    platform = read_profile(path).platform
    (model,) = platform.models
    assert isinstance(model, MockModel)
    assert (model.ttft_ms, model.tpot_ms, model.num_output_tokens, model.max_concurrent) == (7.0, 2.0, 9, 1)
    assert (platform.ingress.scaling.min_replicas, platform.agent.scaling.min_replicas) == (2, 2)
    assert model.scaling.min_replicas == model.scaling.max_replicas == 4


@pytest.mark.skipif(not has_transports(), reason="the configuration has one way for streams only")
def test_the_way_of_the_streams_can_be_chosen(tmp_path: Path) -> None:
    for transport in ("channel", "plain"):
        path = write_profile(tmp_path / "profile.yaml", platform_of(Pace(), Replicas(), transport))
        assert read_profile(path).platform.model_dump()["streams"]["transport"] == transport


@pytest.mark.parametrize("text", ["2", "x2", "0x1", "ax1"])
def test_replicas_are_two_numbers(text: str) -> None:
    with pytest.raises(ValueError, match=r"replica|invalid"):
        Replicas.parse(text)


def test_every_way_has_a_name_of_its_own() -> None:
    ways = all_ways((Replicas(), Replicas(2, 2)), via_agent=True, with_defaults=True)
    names = [way.name for way in ways]
    assert len(set(names)) == len(names)
    assert {way.name for way in ways if way.has_bars} <= {"no-hop", "channel", "plain"}
    assert {"no-hop", "defaults", "plain", "plain-2x2", "plain-agent"} <= set(names)
