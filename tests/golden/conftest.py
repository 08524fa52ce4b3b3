"""The schemas of everything that is rendered, from ../shared/crds, closed: an unknown key is a fault.

The API server drops what a CRD does not know, or warns; a misspelt knob would be found by nobody. Rules in CEL are
evaluated by CEL's own runtime (cel-expr-python), so that our linter's evaluator does not check itself; the few that use
functions of Kubernetes' own are evaluated by the linter's.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from cel_expr_python import cel
from cel_expr_python.ext import ext_strings
from jsonschema import Draft202012Validator

from cluster.lint.cel import evaluate

CRDS = Path(__file__).resolve().parents[3] / "shared" / "crds"
Schema = dict[str, Any]

# Groups whose CRDs are not there: the External Secrets Operator's, EKS Auto Mode's own, and the cluster autoscaler's.
WITHOUT_SCHEMA = frozenset({"external-secrets.io", "eks.amazonaws.com", "autoscaling.x-k8s.io"})
# Functions that Kubernetes adds to CEL, which CEL's own runtime has not.
KUBERNETES_ONLY = (
    "quantity(",
    "isQuantity(",
    "isIP(",
    "ip(",
    "isCIDR(",
    "cidr(",
    "url(",
    "isURL(",
    "format.",
    ".find(",
)


@pytest.fixture(scope="session")
def faults_of() -> Any:
    """`faults_of(object)`: what the API server would refuse, each with its path."""
    if not CRDS.is_dir():
        pytest.skip(f"NOT CHECKED AGAINST THE CRDS: {CRDS} is not on this machine")
    return _faults


def _faults(one: dict[str, Any]) -> list[str]:
    schema = _schema(one["apiVersion"], one["kind"])
    if schema is None:
        group = one["apiVersion"].partition("/")[0]
        return [] if group in WITHOUT_SCHEMA else [f"no schema for {one['kind']}"]
    found = [
        f"{'.'.join(map(str, error.absolute_path))}: {error.message[:300]}"
        for error in _validator(one["apiVersion"], one["kind"]).iter_errors(one)
    ]
    return found + list(_broken_rules(schema, _defaulted(schema, one), ""))


@cache
def _validator(api_version: str, kind: str) -> Draft202012Validator:
    schema = _schema(api_version, kind)
    assert schema is not None
    return Draft202012Validator(schema)


@cache
def _schema(api_version: str, kind: str) -> Schema | None:
    group, _, version = api_version.rpartition("/")
    if "." not in group or _builtin(group, version).is_file():
        return _of_kubernetes(group, version, kind)
    for path in sorted(CRDS.rglob(f"{group}_*.yaml"), key=lambda one: ("experimental" in one.parts, one)):
        if not path.stem.partition("_")[2].startswith(kind.lower()[:-1]):
            continue
        document = yaml.load(path.read_text(), Loader=yaml.CSafeLoader)
        if document["spec"]["names"]["kind"] != kind:
            continue
        for served in document["spec"]["versions"]:
            if served["name"] == version:
                return _closed(_with_metadata(served["schema"]["openAPIV3Schema"]))
    return None


def _builtin(group: str, version: str) -> Path:
    name = f"apis__{group}__{version}_openapi.json" if group else f"api__{version}_openapi.json"
    return CRDS / "kubernetes-openapi-v1.36.2" / "v3" / name


def _of_kubernetes(group: str, version: str, kind: str) -> Schema | None:
    path = _builtin(group, version)
    if not path.is_file():
        return None
    schemas: dict[str, Schema] = json.loads(path.read_text())["components"]["schemas"]
    for name, schema in schemas.items():
        for known in schema.get("x-kubernetes-group-version-kind", ()):
            if known == {"group": group, "version": version, "kind": kind}:
                closed = {key: _closed(value) for key, value in schemas.items()}
                return {"$ref": f"#/components/schemas/{name}", "components": {"schemas": closed}}
    return None


def _with_metadata(schema: Schema) -> Schema:
    """CRDs say of metadata only that it is an object."""
    made = copy.deepcopy(schema)
    texts = {"type": "object", "additionalProperties": {"type": "string"}}
    made["properties"]["metadata"] = {
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {"type": "string"},
            "namespace": {"type": "string"},
            "labels": texts,
            "annotations": texts,
        },
    }
    return made


def _closed(schema: Any) -> Any:
    """The schema in JSON Schema's words, with objects closed that Kubernetes would prune."""
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {
        key: {name: _closed(one) for name, one in value.items()} if key == "properties" else _closed(value)
        for key, value in schema.items()
        if key not in ("x-kubernetes-validations", "default", "description")
    }
    for kept in ("x-kubernetes-validations", "default"):
        if kept in schema:
            made[kept] = schema[kept]
    if schema.get("x-kubernetes-int-or-string"):
        made.pop("type", None)
    if "properties" in made and not schema.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    return made


def _defaulted(schema: Schema, value: Any) -> Any:
    """The value with the schema's defaults, as the API server fills them in before it looks at rules."""
    if isinstance(value, dict):
        made = dict(value)
        for name, part in schema.get("properties", {}).items():
            if name not in made and "default" in part:
                made[name] = copy.deepcopy(part["default"])
            if name in made:
                made[name] = _defaulted(part, made[name])
        return made
    if isinstance(value, list):
        return [_defaulted(schema.get("items", {}), one) for one in value]
    return value


def _outcome(rule: str, value: Any) -> Any:
    if any(name in rule for name in KUBERNETES_ONLY):
        return evaluate(rule, {"self": value})
    return _compiled(rule).eval(data={"self": value}).value()


@cache
def _environment() -> Any:
    return cel.NewEnv(variables={"self": cel.Type.DYN}, extensions=[ext_strings.ExtStrings()])


@cache
def _compiled(rule: str) -> Any:
    return _environment().compile(rule)


def _broken_rules(schema: Schema, value: Any, path: str) -> Iterator[str]:
    for rule in schema.get("x-kubernetes-validations", ()):
        text = rule["rule"]
        if "oldSelf" in text:
            continue  # there is no former state
        # An error of the rule is a refusal too, as it is for the API server.
        outcome = _outcome(text, value)
        if outcome is not True:
            yield f"{path}: {rule.get('message', text)} ({outcome})"
    if isinstance(value, dict):
        for name, part in schema.get("properties", {}).items():
            if name in value:
                yield from _broken_rules(part, value[name], f"{path}.{name}")
        more = schema.get("additionalProperties")
        if isinstance(more, dict):
            for name in value.keys() - schema.get("properties", {}).keys():
                yield from _broken_rules(more, value[name], f"{path}.{name}")
    if isinstance(value, list):
        for index, one in enumerate(value):
            yield from _broken_rules(schema.get("items", {}), one, f"{path}[{index}]")
