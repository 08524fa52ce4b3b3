from __future__ import annotations

import pytest

from serve_app.errors import BadRequest
from serve_app.retrieval.filters import parse


def test_values_become_alternatives() -> None:
    assert parse({"source": "docs", "metadata.team": ["a", "b"], "path": []}) == {
        "source": ("docs",),
        "metadata.team": ("a", "b"),
        "path": (),
    }


@pytest.mark.parametrize("field", ["tenant", "text", "metadata", "metadata.", "", "Source", "id"])
def test_an_unknown_field_is_refused_by_name(field: str) -> None:
    with pytest.raises(BadRequest, match="unknown filter") as raised:
        parse({field: "x"})
    assert repr(field) in raised.value.message


@pytest.mark.parametrize("value", [1, None, ["a", 2], {"a": "b"}, "half \ud800 a pair"])
def test_a_value_that_is_no_text_is_refused(value: object) -> None:
    with pytest.raises(BadRequest) as raised:
        parse({"source": value})  # type: ignore[dict-item]
    assert raised.value.param == "filters.source"
