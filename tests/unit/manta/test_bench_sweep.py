"""The flags of `manta bench sweep`, and what they refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from benchmarks.errors import BenchmarkError
from configs.workload import GammaArrivals, Objectives, PoissonArrivals, Workload
from manta.commands.bench.asked import asked_workload
from manta.commands.bench.sweep import command, settings_of


def flags(**given: Any) -> dict[str, Any]:
    with command.make_context("sweep", []) as context:
        return context.params | given


def test_without_a_file_or_a_rate_there_are_ten_requests_a_second() -> None:
    chosen = asked_workload(None, flags(), None, "sweep")
    assert chosen.arrivals == PoissonArrivals(process="poisson", rate_rps=10)
    assert chosen.name == "sweep"


def test_the_start_is_the_files_rate_unless_it_is_given(tmp_path: Path) -> None:
    file = tmp_path / "w.yaml"
    file.write_text("name: mine\narrivals: {process: gamma, rate_rps: 3, burstiness: 0.5}\n")
    kept = asked_workload(file, flags(), None, "sweep")
    assert kept.arrivals == GammaArrivals(process="gamma", rate_rps=3, burstiness=0.5)
    assert kept.name == "mine"
    assert settings_of(kept, flags()).search.start_rps == 3
    given = asked_workload(file, flags(), 7.0, "sweep")
    assert settings_of(given, flags()).search.start_rps == 7


def test_another_process_keeps_the_files_rate(tmp_path: Path) -> None:
    file = tmp_path / "w.yaml"
    file.write_text("arrivals: {process: poisson, rate_rps: 3}\n")
    chosen = asked_workload(file, flags(burstiness=0.25), None, "sweep")
    assert chosen.arrivals == GammaArrivals(process="gamma", rate_rps=3, burstiness=0.25)


def test_objectives_are_looked_for_only_where_there_are_some() -> None:
    assert not settings_of(Workload(), flags()).search.has_objectives
    assert settings_of(Workload(objectives=Objectives(ttft_ms=50)), flags()).search.has_objectives


def test_listed_rates() -> None:
    assert settings_of(Workload(), flags(rates="10,20,40.5")).rates_rps == (10, 20, 40.5)
    assert settings_of(Workload(), flags()).rates_rps == ()


@pytest.mark.parametrize("text", ["", "ten", "10,,20", "0,1", "-3", "nan", "inf"])
def test_impossible_rates_are_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a list of rates"):
        settings_of(Workload(), flags(rates=text))


def test_a_closed_loop_has_no_rate_to_sweep(tmp_path: Path) -> None:
    file = tmp_path / "w.yaml"
    file.write_text("arrivals: {process: closed, concurrency: 4}\n")
    done = CliRunner().invoke(command, [str(file)])
    assert isinstance(done.exception, BenchmarkError)
    assert "a sweep needs arrivals with one rate" in str(done.exception)
