from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.errors import ConfigError
from serve_app.evaluation.calibration import (
    JUDGEMENT,
    Calibration,
    Calibrations,
    calibrations,
    probability,
    read,
    write,
)
from serve_app.evaluation.features import FITTED, Features
from serve_app.evaluation.fit import Example, Kind, cross_validate, figures, fit, roc_auc


def features(level: float, coverage: float | None = None) -> Features:
    return Features(6, level, 0.1, 1.0, level if coverage is None else coverage, level - 0.1, 10 * level)


def example(n: int, kind: Kind, level: float) -> Example:
    return Example(f"q{n}", kind, features(level))


def separable(num: int = 40) -> list[Example]:
    chance = random.Random(1)
    found = []
    for n in range(num):
        found.append(example(n, Kind.GOLD, 0.6 + 0.2 * chance.random()))
        found.append(example(n, Kind.RANDOM, 0.3 * chance.random()))
    return found


def test_what_can_be_told_apart_is() -> None:
    calibration = fit(separable(), "minilm")
    assert calibration.embedding_id == "minilm"
    assert set(calibration.weights) == set(FITTED)
    high, low = (probability(features(level), calibration) for level in (0.7, 0.1))
    assert high is not None
    assert low is not None
    assert low < calibration.incorrect_below < high
    assert calibration.incorrect_below <= calibration.correct_at


def test_figures_are_of_questions_that_the_fit_had_not_seen() -> None:
    held_out = cross_validate(separable(), "minilm")
    assert len(held_out) == 80
    figure = figures(held_out)["gold_vs_random"]
    assert figure["roc_auc"] == 1.0
    assert figure["true_positive_rate"] >= 0.95
    assert figure["false_positive_rate"] <= 0.05
    assert "answerable_vs_unanswerable" not in figures(held_out)


def test_noise_is_not_learnt() -> None:
    chance = random.Random(2)
    noise = [example(n, chance.choice([Kind.GOLD, Kind.RANDOM]), chance.random()) for n in range(150)]
    assert 0.35 < figures(cross_validate(noise, "e"))["gold_vs_random"]["roc_auc"] < 0.65


def test_questions_stay_together() -> None:
    """A question whose every look is labelled against the trend cannot help itself."""
    odd = [example(99, Kind.GOLD, 0.05), example(99, Kind.RANDOM, 0.75)]
    by_id = {
        (one.example.question_id, one.example.kind): one.probability
        for one in cross_validate([*separable(), *odd], "e")
    }
    assert by_id["q99", Kind.GOLD] < by_id["q99", Kind.RANDOM]


def test_both_classes_weigh_the_same() -> None:
    few = separable()[:2] * 3 + [example(n, Kind.GOLD, 0.7) for n in range(200, 260)]
    value = probability(features(0.15), fit(few, "e"))
    assert value is not None
    assert value < 0.5


@pytest.mark.parametrize("kind", [Kind.GOLD, Kind.RANDOM])
def test_one_kind_alone_cannot_be_fitted(kind: Kind) -> None:
    with pytest.raises(ConfigError, match="examples that answer"):
        fit([example(n, kind, 0.5) for n in range(5)], "e")


def test_examples_without_a_cosine_are_left_out() -> None:
    blind = Example("b", Kind.GOLD, Features(2, None, None, None, 1.0))
    assert fit([*separable(), blind], "e") == fit(separable(), "e")
    assert all(one.example.question_id != "b" for one in cross_validate([*separable(), blind], "e"))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_the_area_is_that_of_all_pairs(yes: list[float], no: list[float]) -> None:
    pairs = [(a > b) + 0.5 * (a == b) for a in yes for b in no]
    assert roc_auc(yes, no) == pytest.approx(sum(pairs) / len(pairs))
    assert roc_auc(no, yes) == pytest.approx(1 - roc_auc(yes, no))


def test_a_missing_feature_is_the_mean_and_a_missing_cosine_is_no_probability() -> None:
    calibration = fit(separable(), "e")
    missing = Features(6, 0.6, None, None, None, 0.5, 6.0)
    at_mean = Features(6, 0.6, None, None, calibration.weights["coverage"].if_missing, 0.5, 6.0)
    assert probability(missing, calibration) == probability(at_mean, calibration)
    assert probability(Features(6, None, None, None, 1.0), calibration) is None
    assert probability(Features(6, float("nan"), None, None, 1.0), calibration) is None


def test_a_file_survives_writing_and_reading(tmp_path: Path) -> None:
    calibration = fit(separable(), "minilm")
    write(tmp_path / "new" / "c.json", calibration)
    assert read(tmp_path / "new" / "c.json") == calibration
    assert calibrations(str(tmp_path / "new" / "c.json")).own == calibration


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{}", "embedding_id"),
        ("nonsense", "JSON"),
        (JUDGEMENT.model_copy(update={"version": 9}).model_dump_json(), "version"),
        (JUDGEMENT.model_dump_json().replace("coverage", "rrf_score"), "no such feature: rrf_score"),
        (JUDGEMENT.model_dump_json().replace("-4.8", "1e999"), "bias"),
    ],
)
def test_a_broken_file_is_named_with_its_fault(tmp_path: Path, text: str, fault: str) -> None:
    file = tmp_path / "c.json"
    file.write_text(text)
    with pytest.raises(ConfigError, match=fault) as caught:
        read(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.json"):
        read(tmp_path / "absent.json")


def test_a_calibration_holds_for_its_own_embedder_alone() -> None:
    own = Calibration(**{**JUDGEMENT.model_dump(), "embedding_id": "a"})
    assert Calibrations(own).pick("a") is own
    assert Calibrations(own).pick(None) is own  # a lexical search: there is no cosine to be misread
    assert Calibrations(own).pick("b") is None
    assert Calibrations().pick("b") is JUDGEMENT
