"""The cascade benchmark over HTTP, with its own made-up models."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks.cascade import run


def test_it_measures_its_stand_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["cascade", "--stand-in", "--num", "40", "--out", str(tmp_path)])
    run.main()
    [folder] = tmp_path.iterdir()
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["num_questions"] == 40
    assert summary["small_only"]["quality"] < summary["large_only"]["quality"]
    assert summary["best"]["gain_over_coin"] > 0
    assert len((folder / "records.jsonl").read_text().splitlines()) == 40
    assert "small only" in capsys.readouterr().out
