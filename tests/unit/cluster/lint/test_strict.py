"""Values against schemas, as the API server would."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.lint.schemas import Kind
from cluster.lint.strict import Misfit, misfits


def found(schema: dict[str, Any], value: object, *, is_native: bool = False) -> list[Misfit]:
    return misfits(Kind(schema, (), is_namespaced=True, is_native=is_native), value)


def thing(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


TEXT = {"type": "string"}


@pytest.mark.parametrize(
    ("schema", "value", "says"),
    [
        (thing(name=TEXT), {"nam": "x"}, "unknown field nam; did you mean name?"),
        (thing(spec=thing(name=TEXT)), {"name": "x"}, "unknown field name; it belongs under spec"),
        (thing(name=TEXT, spec=thing(a=TEXT)), {"spec": {"name": "x"}}, "one level up"),
        (thing(name=TEXT), {"name": 8}, 'quote it: "8"'),
        (thing(name=TEXT), {"name": True}, 'quote it: "true"'),
        (thing(n={"type": "integer"}), {"n": "8"}, "a whole number, without quotes"),
        (thing(n={"type": "integer"}), {"n": 1.5}, "where a whole number belongs"),
        (thing(n={"type": "array", "items": TEXT}), {"n": "x"}, "where a list belongs"),
        (thing(n={"type": "quantity"}), {"n": "4GiB"}, "write 4Gi"),
        (thing(n={"type": "integer", "minimum": 1}), {"n": 0}, "below 1"),
        (thing(n={"type": "integer", "format": "int32"}), {"n": 2**31}, "above 2147483647"),
        (thing(n={"type": "string", "enum": ["Always", "Never"]}), {"n": "always"}, "did you mean Always?"),
        (thing(n={"type": "string", "pattern": "^a$"}), {"n": "b"}, "does not match"),
        (thing(n={"type": "array", "maxItems": 1}), {"n": [1, 2]}, "at most 1"),
        ({**thing(n=TEXT), "required": ["n"]}, {}, "n is missing"),
        ({**thing(n=TEXT), "required": ["n"]}, {"n": None}, "n is missing"),
        (
            thing(l={"type": "array", "items": thing(k=TEXT), "x-kubernetes-list-map-keys": ["k"]}),
            {"l": [{"k": "a"}, {"k": "a"}]},
            "a second entry with k a",
        ),
        (
            {**thing(a=TEXT, b=TEXT), "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
            {"a": "", "b": ""},
            "exactly one",
        ),
        ({**thing(a=TEXT), "not": {"required": ["a"]}}, {"a": ""}, "a may not be given"),
    ],
)
def test_misfits(schema: dict[str, Any], value: object, says: str) -> None:
    (one,) = found(schema, value)
    assert says in f"{one.message}; {one.fix}"


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({**thing(n={"type": "string", "default": "x"}), "required": ["n"]}, {}),
        (thing(n={"type": "integer", "x-kubernetes-int-or-string": True}), {"n": "http"}),
        (thing(n={"type": "quantity"}), {"n": 2}),
        (thing(n={"type": "integer"}), {"n": 2.0}),
        (thing(n={"type": "object", "additionalProperties": TEXT}), {"n": {"anything": "x"}}),
        (thing(n={"type": "object", "x-kubernetes-preserve-unknown-fields": True}), {"n": {"a": [1]}}),
        (thing(n=TEXT), {"n": None}),
        (thing(n={"type": "string", "nullable": True}), {"n": None}),
    ],
)
def test_fits(schema: dict[str, Any], value: object) -> None:
    assert found(schema, value) == []


def test_a_null_of_nobodys_is_only_mentioned() -> None:
    (one,) = found(thing(n=TEXT), {"creationTimestamp": None})
    assert one.kind == "unknown-null"


def test_rules_see_defaults_and_leave_the_past_alone() -> None:
    schema = {
        **thing(least={"type": "integer"}, most={"type": "integer", "default": 3}),
        "x-kubernetes-validations": [
            {"rule": "self.least <= self.most", "message": "least above most"},
            {"rule": "self.most == oldSelf.most"},
        ],
    }
    assert found(schema, {"least": 3}) == []
    (one,) = found(schema, {"least": 4})
    assert (one.kind, one.message) == ("rule", "least above most")


def test_a_rule_that_cannot_be_read_is_no_error() -> None:
    schema = {**thing(n=TEXT), "x-kubernetes-validations": [{"rule": "self.n.conjure()"}]}
    assert [one.kind for one in found(schema, {"n": "x"})] == ["unread-rule"]
