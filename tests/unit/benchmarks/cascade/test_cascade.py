"""The curve of a cascade, and the questions that it is made on."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.cascade.behind import GROUP, platform
from benchmarks.cascade.curve import (
    Answered,
    at_threshold,
    best_gain,
    coin,
    curve,
    gain_interval,
    large_only,
    small_only,
)
from benchmarks.cascade.questions import Question, generated, read_questions
from benchmarks.cascade.run import summarise
from benchmarks.errors import BenchmarkError
from configs.schema import PlatformConfig

# The small model knows what it does not know.
RIGHT = True
KNOWING = [Answered(index < 5, RIGHT, 1.0, 10.0, -0.1 if index < 5 else -2.0) for index in range(10)]


def test_the_ends_of_the_curve() -> None:
    assert (small_only(KNOWING).cost, small_only(KNOWING).quality) == (1.0, 0.5)
    assert (large_only(KNOWING).cost, large_only(KNOWING).quality) == (10.0, 1.0)
    everything = at_threshold(KNOWING, 1.0)
    assert (everything.cost, everything.quality, everything.large_share) == (11.0, 1.0, 1.0)


def test_a_signal_that_knows_beats_the_coin_of_the_same_cost() -> None:
    point, gain = best_gain(KNOWING)
    assert (point.cost, point.quality) == (6.0, 1.0)
    assert gain == pytest.approx(1.0 - coin(KNOWING, 6.0))
    low, high = gain_interval(KNOWING, -0.1, num_draws=200)
    assert 0.0 < low <= gain <= high + 1e-9


def test_an_answer_without_probabilities_is_never_sure() -> None:
    assert at_threshold([Answered(RIGHT, RIGHT, 1.0, 1.0, None)], -99.0).large_share == 1.0


@given(
    st.lists(
        st.builds(
            Answered,
            st.booleans(),
            st.booleans(),
            st.floats(0.1, 2),
            st.floats(2, 9),
            st.none() | st.floats(-5, 0),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_a_higher_threshold_costs_no_less(answers: list[Answered]) -> None:
    points = curve(answers)
    costs = [point.cost for point in points]
    assert all(a <= b + 1e-9 for a, b in pairwise(costs))
    assert all(0.0 <= point.quality <= 1.0 for point in points)


def test_questions_are_the_same_each_time_and_have_one_right_answer() -> None:
    questions = generated(100)
    assert questions == generated(100)
    assert len(questions) == 100
    for question in questions:
        assert question.is_right(f"It is {question.answers[0]}.")
        assert not question.is_right(str(int(question.answers[0]) + 1))
        assert not question.is_right("I do not know.")


def test_texts_are_right_where_they_stand() -> None:
    assert Question("Capital of France?", ("Paris",)).is_right("That is PARIS, of course.")
    assert Question("2+2?", ("4",)).is_right("2 + 2 = 4.0")
    assert Question("10*100?", ("1000",)).is_right("1,000")


def test_own_questions_are_read_and_a_bad_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text(json.dumps({"question": "2+2?", "answers": [4]}) + "\n")
    assert read_questions(path) == [Question("2+2?", ("4",))]
    path.write_text('{"question": "x"}\n')
    with pytest.raises(BenchmarkError, match=r"q\.jsonl:1"):
        read_questions(path)


def test_the_summary_has_the_curve_its_ends_and_the_group() -> None:
    records = [
        {
            "is_small_right": one.is_small_right,
            "is_large_right": one.is_large_right,
            "small_cost": one.small_cost,
            "large_cost": one.large_cost,
            "mean_logprob": one.mean_logprob,
            "group": {"is_right": True, "is_large": not one.is_small_right},
        }
        for one in KNOWING
    ]
    summary = summarise(records)
    assert summary["best"]["threshold"] == -0.1
    assert summary["group"] == {"quality": 1.0, "large_share": 0.5}
    assert len(summary["curve"]) == 3


def test_the_group_before_the_stand_in_is_one_that_the_application_takes() -> None:
    config = PlatformConfig.model_validate(platform("http://127.0.0.1:1", -0.35))
    (group,) = config.front.groups
    assert group.name == GROUP
    assert group.cascade is not None
    assert group.cascade.min_mean_logprob == -0.35
