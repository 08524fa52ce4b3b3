"""The commands over a small corpus and engines that need no weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from manta.commands.evaluate import calibrate, run
from serve_app.errors import ConfigError
from serve_app.evaluation import registry
from serve_app.evaluation.base import Metric, Score
from serve_app.evaluation.calibration import read
from serve_app.evaluation.fixture_judge import FixtureJudge

TOPICS = ("steam engines", "garden roses", "deep oceans", "violin strings", "desert foxes", "glass towers")


def invoke(command: Any, *arguments: object) -> Result:
    result = CliRunner().invoke(command, [str(one) for one in arguments], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    config = {
        "home": str(tmp_path / "home"),
        "models": [{"name": "words", "engine": "mock", "ttft_ms": 0, "tpot_ms": 0}],
        "embedder": {"name": "hash", "engine": "mock"},
        "agent": {"models": ["words"]},
    }
    applications = [{"name": "manta", "import_path": "serve_app.app:build", "args": config}]
    path = tmp_path / "profile.yaml"
    path.write_text(yaml.safe_dump({"applications": applications}))
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "topics"
    (folder / "qrels").mkdir(parents=True)
    texts = [
        {"_id": f"d{n}", "title": topic, "text": f"Facts on {topic}: {topic} are known to many people."}
        for n, topic in enumerate(TOPICS)
    ]
    queries = [{"_id": f"q{n}", "text": f"What is known of {topic}?"} for n, topic in enumerate(TOPICS)]
    queries += [{"_id": "none", "text": "Who composed Carmen?"}]
    for name, rows in (("corpus", texts), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    judged = "".join(f"q{n}\td{n}\t1\n" for n in range(len(TOPICS)))
    (folder / "qrels" / "test.tsv").write_text(f"query\tdocument\tgrade\n{judged}")
    (folder / "unanswerable.json").write_text('["none"]')
    return folder


def test_a_labelled_folder_becomes_a_calibration(profile: Path, data: Path, tmp_path: Path) -> None:
    file, records = tmp_path / "c.json", tmp_path / "records.jsonl"
    options = ("--data", data, "--profile", profile, "--out", file, "--records", records)
    result = invoke(calibrate.command, *options, "--work", tmp_path / "work")
    assert result.return_value == 0
    calibration = read(file)
    assert calibration.embedding_id == "mock-bag-of-words-64"
    assert calibration.fitted_on == {"topics": {"split": "test", "num_questions": 7}}
    found = [json.loads(line) for line in records.read_text().splitlines()]
    kinds = [record["kind"] for record in found]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "answerable": 6,
        "unanswerable": 1,
        "gold": 6,
        "random": 7,
    }
    gold = [record["probability"] for record in found if record["kind"] == "gold"]
    strangers = [record["probability"] for record in found if record["kind"] == "random"]
    assert min(gold) > max(strangers)
    figures = json.loads(result.stdout)["cross_validated"]["topics"]
    assert figures["gold_vs_random"]["roc_auc"] == 1.0
    again = invoke(calibrate.command, *options, "--work", tmp_path / "work")
    assert again.stdout == result.stdout, "the kept work is the same, and so is the seed"


def test_a_folder_that_is_none_is_named(profile: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="qrels"):
        invoke(calibrate.command, "--data", tmp_path, "--profile", profile)


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    path = tmp_path / "answers.jsonl"
    line = {"question": "How fast is it?", "answer": "It is fast.", "contexts": ["It is fast."]}
    path.write_text((json.dumps(line) + "\n") * 2)
    return path


@pytest.mark.parametrize(("value", "code"), [(0.9, 0), (0.6, 1)])
def test_the_exit_code_follows_the_thresholds(
    profile: Path, answers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float, code: int
) -> None:
    judge = FixtureJudge({Metric.FAITHFULNESS: Score(value)})
    monkeypatch.setattr(registry, "open_judge", lambda *_: judge)
    out = tmp_path / "out"
    options = ("--profile", profile, "--judge", "words", "--metric", "faithfulness", "--out", out)
    assert invoke(run.command, answers, *options).return_value == code
    assert json.loads((out / "report.json").read_text())["passed"] == (code == 0)
    assert "Evaluation" in (out / "report.html").read_text()
    assert len((out / "records.jsonl").read_text().splitlines()) == 2
    assert invoke(run.command, answers, *options, "--min", "faithfulness=0.5").return_value == 0


def test_a_judge_that_answers_nonsense_gives_no_score(profile: Path, answers: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ("--profile", profile, "--judge", "words", "--metric", "faithfulness", "--out", out)
    assert invoke(run.command, answers, *options).return_value == 1
    figures = json.loads((out / "report.json").read_text())["metrics"]["faithfulness"]
    assert figures["share_unknown"] == 1.0
    assert "mean" not in figures


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ([], "no judge"),
        (["--judge", "other"], "no model 'other'"),
        (["--judge", "words", "--min", "faithfulness"], "needs METRIC=VALUE"),
        (["--judge", "words", "--min", "context_recall=0.5"], "does not ask for"),
    ],
)
def test_a_wrong_option_is_named(profile: Path, answers: Path, options: list[str], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        invoke(run.command, answers, "--profile", profile, *options)
