"""Whatever is written where, lint says something of it, and does not fall over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster.lint.lint import lint
from cluster.lint.yaml_text import read_documents

GOOD = sorted((Path(__file__).parent / "good").glob("*.yaml"))
FILES = [[document.value for document in read_documents(path.read_text())] for path in GOOD]
ODD = [
    None,
    True,
    -1,
    1.5,
    "",
    "x",
    "{",
    "$(X)",
    [],
    [None],
    [1, "a"],
    {},
    {"a": None},
    {"name": 3},
    [{"name": []}],
]


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    found = [path] if path else []
    if isinstance(value, dict):
        return found + [inner for key, item in value.items() for inner in places(item, (*path, key))]
    if isinstance(value, list):
        return found + [inner for index, item in enumerate(value) for inner in places(item, (*path, index))]
    return found


def put(value: Any, path: tuple[str | int, ...], odd: Any) -> Any:
    copy = json.loads(json.dumps(value))
    part = copy
    for step in path[:-1]:
        part = part[step]
    part[path[-1]] = odd
    return copy


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_odd_values_anywhere(data: st.DataObject) -> None:
    objects = data.draw(st.sampled_from(FILES))
    index = data.draw(st.integers(0, len(objects) - 1))
    path = data.draw(st.sampled_from(places(objects[index])))
    changed = put(objects[index], path, data.draw(st.sampled_from(ODD)))
    texts = [json.dumps(changed if at == index else value) for at, value in enumerate(objects)]
    for found in lint(["-"], stdin=lambda: "\n---\n".join(texts)):
        assert found.message
        assert found.fix
        assert found.place.line >= 1
