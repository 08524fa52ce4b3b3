"""Runs of an overload experiment against real servers: what they find, not how fast it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.overload import run
from benchmarks.overload.measure import measure, pace_of
from benchmarks.overload.plan import Dials, planned_runs
from benchmarks.prompts.generated import prepare_prompts
from benchmarks.reference_server.process import running
from benchmarks.run.execute import Prepared
from benchmarks.target import Target
from configs.workload import Objectives

DIALS = Dials(multiples=(2.0,), mixed_multiples=(1.0,), duration_s=2.0, timeout_s=20.0, repetitions=1)
OBJECTIVES = Objectives(ttft_ms=20_000.0)


def test_each_part_of_a_run_leaves_its_records(tmp_path: Path) -> None:
    with running(ttft_ms=5, tpot_ms=0) as server:
        prepared = Prepared(Target(server.url, "reference"), prepare_prompts(1, []))
        pace = pace_of(prepared, 4, 0.5, 20.0)
        assert pace.capacity_rps > 0
        runs = [measure(each, prepared, 10.0, OBJECTIVES, DIALS, tmp_path) for each in planned_runs(DIALS)]
    plain, mixed, _ = runs
    assert set(plain.parts) == {"all"}
    assert set(mixed.parts) == {"interactive", "batch"}
    for measured in runs:
        for figures in measured.parts.values():
            assert figures.num_requests > 0
            assert figures.goodput_rps == figures.offered_rps
            assert (figures.refused_share, figures.failed_share) == (0.0, 0.0)
        assert set(measured.retry_after["statuses"]) == {"200"}
    headers = json.loads((tmp_path / mixed.planned.name / "batch" / "run.json").read_text())["target"]
    assert headers["header_names"] == ["x-manta-priority"]
    json.dumps([measured.record() for measured in runs])


def test_a_server_that_turns_everybody_away(tmp_path: Path) -> None:
    with running() as server:
        prepared = Prepared(Target(server.url, "error-429"), prepare_prompts(1, []))
        measured = measure(next(planned_runs(DIALS)), prepared, 10.0, OBJECTIVES, DIALS, tmp_path)
    figures = measured.parts["all"]
    assert (figures.refused_share, figures.goodput_rps) == (1.0, 0.0)
    assert figures.refused_after_ms["p50"] > 0
    assert measured.retry_after["num"] > 0
    assert measured.retry_after["num_without"] == 0
    assert measured.retry_after["seconds"]["p50"] >= 1.0


def test_the_command_leaves_a_folder_and_prints_its_verdicts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "PAUSE_S", 0.0)
    with running(model="mock", ttft_ms=5, tpot_ms=0) as server:
        words = ["--url", server.url, "--out", str(tmp_path), "--calibration", "0.5", "--capacity", "10"]
        words += ["--multiples", "1,2", "--mixed", "", "--duration", "2", "--repetitions", "1"]
        monkeypatch.setattr("sys.argv", ["overload", *words, "--ttft-ms", "20000"])
        run.main()
    printed = capsys.readouterr().out
    assert "goodput at the highest multiple is at least 0.9 of the best goodput" in printed
    (folder,) = tmp_path.iterdir()
    summary = json.loads((folder / "summary.json").read_text())
    assert [row["multiple"] for row in summary["rows"]] == [1.0, 2.0]
    assert summary["bar"]["ratio"] is not None
    assert len((folder / "records.jsonl").read_text().splitlines()) == 2
    assert len(list(folder.glob("*/records.jsonl"))) == 2
    settings = json.loads((folder / "run.json").read_text())["settings"]
    assert settings["capacity_rps"] == 10.0
    assert settings["num_slots"] == 16


def test_a_model_that_the_profile_has_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["overload", "--model", "none"])
    with pytest.raises(SystemExit) as caught:
        run.main()
    assert caught.value.code == 2
    assert "has no model none" in capsys.readouterr().err
