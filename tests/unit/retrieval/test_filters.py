from __future__ import annotations

import math
from typing import Any

import pytest

from serve_app.errors import BadRequest
from serve_app.retrieval.base import Between, Exists, OneOf, Scale
from serve_app.retrieval.filters import instant_ms, number, parse

DAY_MS = 86_400_000.0


def test_values_become_alternatives() -> None:
    assert parse({"source": "docs", "metadata.team": ["a", "b"], "path": []}) == {
        "source": OneOf(("docs",)),
        "metadata.team": OneOf(("a", "b")),
        "path": OneOf(()),
    }


def test_ranges_have_both_ends_inside() -> None:
    assert parse({"page": {"gte": 3}, "metadata.x": {"gt": 1, "lt": 2}}) == {
        "page": Between(Scale.NUMBER, low=3.0),
        "metadata.x": Between(Scale.NUMBER, math.nextafter(1.0, 2.0), math.nextafter(2.0, 1.0)),
    }
    assert parse({"metadata.x": {"gt": 1, "gte": 5}}) == {"metadata.x": Between(Scale.NUMBER, low=5.0)}
    assert parse({"metadata.d": {"gte": "1970-01-02", "lte": "1970-01-02T01:00:00+01:00"}}) == {
        "metadata.d": Between(Scale.DATE, DAY_MS, DAY_MS)
    }


def test_existence() -> None:
    assert parse({"metadata.x": {"exists": True}, "page": {"exists": False}}) == {
        "metadata.x": Exists(wanted=True),
        "page": Exists(wanted=False),
    }


@pytest.mark.parametrize("field", ["tenant", "text", "metadata", "metadata.", "", "Source", "id"])
def test_an_unknown_field_is_refused_by_name(field: str) -> None:
    with pytest.raises(BadRequest, match="unknown filter") as raised:
        parse({field: "x"})
    assert repr(field) in raised.value.message


@pytest.mark.parametrize(
    "value",
    [
        1, None, ["a", 2], {"a": "b"}, "half \ud800 a pair", {}, {"gte": None}, {"gte": True}, {"gte": "soon"},
        {"gte": 1, "lt": "2026-01-01"}, {"gte": float("nan")}, {"lt": float("inf")}, {"gte": 10**400},
        {"exists": "yes"}, {"exists": True, "gte": 1}, {"gte": [1]},
    ],
)  # fmt: skip
def test_a_condition_that_there_is_not_is_refused(value: Any) -> None:
    with pytest.raises(BadRequest) as raised:
        parse({"metadata.x": value})
    assert raised.value.param == "filters.metadata.x"


@pytest.mark.parametrize(
    ("field", "value"), [("source", {"gte": 1}), ("page", "3"), ("page", {"gte": "2026-01-01"})]
)
def test_a_field_has_its_own_conditions(field: str, value: Any) -> None:
    with pytest.raises(BadRequest, match=field):
        parse({field: value})


def test_what_is_a_number() -> None:
    assert [number(text) for text in ("7", "-1.5", "+.5", "1e3", "2.")] == [7.0, -1.5, 0.5, 1000.0, 2.0]
    for text in ("", " 7", "7 ", "nan", "inf", "1e999", "1_000", "0x10", "٣", "1,5", "."):
        assert number(text) is None, text


def test_what_is_a_date() -> None:
    assert instant_ms("1970-01-02") == DAY_MS
    assert instant_ms("1970-01-02T00:00:00Z") == DAY_MS
    assert instant_ms("1970-01-02T02:00:00.001+02:00") == DAY_MS + 1
    for text in ("", "2026", "tomorrow", "2026-13-01", "0001-01-01T00:00:00+23:59"):
        assert instant_ms(text) is None or text.startswith("0001"), text
