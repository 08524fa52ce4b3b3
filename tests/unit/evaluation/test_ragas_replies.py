"""RAGAS' replies without RAGAS."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from serve_app.errors import EngineFailed
from serve_app.evaluation.base import Metric
from serve_app.evaluation.ragas_replies import constrained, fault_of, require_choices


class Verdict(BaseModel):
    statement: str
    verdict: int


class Verdicts(BaseModel):
    statements: list[Verdict]


class Rating(BaseModel):
    rating: int


def test_a_schema_gets_the_numbers_that_are_allowed_wherever_they_stand() -> None:
    schema = constrained(Verdicts.model_json_schema())
    inner = schema["$defs"]["Verdict"]
    assert inner["properties"]["verdict"]["enum"] == [0, 1]
    assert "enum" not in inner["properties"]["statement"]
    assert schema["additionalProperties"] is inner["additionalProperties"] is False
    assert constrained(Rating.model_json_schema())["properties"]["rating"]["enum"] == [0, 1, 2]


@pytest.mark.parametrize(
    "value", [{"rating": 3}, {"statements": [{"verdict": 1}, {"verdict": 2}]}, {"noncommittal": -1}]
)
def test_another_number_is_no_verdict(value: Any) -> None:
    with pytest.raises(EngineFailed, match="none of"):
        require_choices(value)


def test_other_numbers_are_nobodys_business() -> None:
    require_choices({"rating": 2, "statements": [{"verdict": 0, "at": 7}]})


def test_a_verdict_is_wanted_on_every_claim() -> None:
    claims, verdicts = {"statements": ["a", "b"]}, {"statements": [{"verdict": 1}, {"verdict": 0}]}
    assert fault_of(Metric.FAITHFULNESS, [claims, verdicts]) == ""
    assert (
        fault_of(Metric.FAITHFULNESS, [claims, {"statements": []}])
        == "the judge gave 0 verdicts on 2 statements"
    )
    assert fault_of(Metric.FAITHFULNESS, [{"statements": []}]) == "the answer claims nothing"
    assert fault_of(Metric.CONTEXT_RELEVANCE, []) == ""
