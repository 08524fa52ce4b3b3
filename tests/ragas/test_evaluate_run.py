"""`manta evaluate run` with the real RAGAS, as users call it, and the same answers with the built-in judge."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.application import write_profile
from benchmarks.scripted_model.application import external_models
from benchmarks.scripted_model.facts import Fact, question

DEPTH, AGE = Fact("depth", "Lake Orvane", "93 metres"), Fact("age", "Mount Bel", "4 units")
WRONG = Fact("depth", "Lake Orvane", "4 metres")
PASSAGES = [f"{DEPTH.said()}.", "It is cold there."]
# Right, half right, wrong, and off the point.
ANSWERS = [
    f"{DEPTH.said()} [1].",
    f"{DEPTH.said()} [1]. {AGE.said()} [2].",
    f"{WRONG.said()} [1].",
    f"{AGE.said()} [2].",
]
METRICS = (
    "faithfulness",
    "answer_relevancy",
    "context_relevance",
    "context_precision",
    "context_recall",
    "factual_correctness",
)


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("answers") / "answers.jsonl"
    asked = {
        "question": question("depth", "Lake Orvane"),
        "contexts": PASSAGES,
        "reference": f"{DEPTH.said()}.",
    }
    path.write_text("".join(json.dumps(asked | {"answer": answer}) + "\n" for answer in ANSWERS))
    return path


def evaluate(
    evaluator: str, answers: Path, model_url: str, folder: Path, *options: str
) -> tuple[int, dict[str, Any], list[dict[str, Any]]]:
    """(exit code, report, records)."""
    args = {
        "home": str(folder / "home"),
        "models": external_models(model_url),
        "embedder": {"name": "hash", "engine": "mock"},
        "agent": {"models": ["writer"], "judge": "judge"},
    }
    if evaluator != "default":
        args["agent"] |= {"evaluator": evaluator}  # type: ignore[operator]
    profile = write_profile(folder / "profile.yaml", args)
    done = subprocess.run(
        [sys.executable, "-m", "manta", "evaluate", "run", str(answers), "--profile", str(profile),
         "--out", str(folder / "out"), *options],
        capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    lines = (folder / "out" / "records.jsonl").read_text().splitlines()
    report = json.loads((folder / "out" / "report.json").read_text())
    assert report["evaluator"] in done.stderr
    return done.returncode, report, [json.loads(line) for line in lines]


def test_ragas_and_the_built_in_judge_score_the_same_answers_alike(
    answers: Path, model_url: str, tmp_path: Path
) -> None:
    options = [word for metric in METRICS for word in ("--metric", metric)]
    found = {}
    for evaluator in ("ragas", "builtin"):
        folder = tmp_path / evaluator
        folder.mkdir()
        code, report, records = evaluate(evaluator, answers, model_url, folder, *options)
        assert code == 1  # half of the answers are wrong
        assert report["evaluator"].partition(" ")[0] == evaluator
        assert report["metrics"]["faithfulness"]["is_met"] is False
        found[evaluator] = records
    ragas, builtin = found["ragas"], found["builtin"]
    assert [one["scores"]["faithfulness"] for one in ragas] == [1.0, 0.5, 0.0, 0.0]
    assert [one["unsupported"] for one in ragas] == [one["unsupported"] for one in builtin]
    for own, other in zip(ragas, builtin, strict=True):
        assert own["scores"] == pytest.approx(
            other["scores"], abs=0.006
        )  # RAGAS rounds one of them to two digits
        assert own["unknown"] == other["unknown"] == {}


def test_where_it_is_installed_it_is_asked_and_thresholds_hold(
    answers: Path, model_url: str, tmp_path: Path
) -> None:
    options = ("--metric", "faithfulness", "--min", "faithfulness=0.3")
    code, report, _ = evaluate("default", answers, model_url, tmp_path, *options)
    assert (code, report["passed"]) == (0, True)
    assert report["evaluator"] == "ragas 0.4.3"
