"""Schemas in a compact form: OpenAPI without its prose, equal parts stored once.

    python -m cluster.lint.compact CRDS OUT

reads CRDs (YAML) and Kubernetes' own OpenAPI (`kubernetes-openapi-*/swagger.json`) below the folder CRDS, and writes
one file an API group to OUT. docs/decisions/0025 says why the files are in the repository.
"""

from __future__ import annotations

import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cluster.lint.manifest import at, mappings
from cluster.lint.yaml_text import read_documents

Schema = dict[str, Any]

CORE = "core"  # the name of the file of the API group that has none
_KEPT = (
    "type",
    "required",
    "enum",
    "pattern",
    "format",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "uniqueItems",
    "nullable",
    "default",
    "x-kubernetes-int-or-string",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
)
_EVERYWHERE = ("apiVersion", "kind", "metadata", "status")
_ANYTHING: Schema = {"x-kubernetes-preserve-unknown-fields": True}
# What these say in JSON is more than their definitions do.
_SPECIAL: dict[str, Schema] = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"x-kubernetes-int-or-string": True},
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": "quantity"},
    "io.k8s.apimachinery.pkg.runtime.RawExtension": _ANYTHING,
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1": _ANYTHING,
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON": _ANYTHING,
    # Read as a source of schemas, and not otherwise looked into.
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps": _ANYTHING,
}
_QUANTITY = r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?"


class Parts:
    """Where equal schemas become one: each is put in once, and referred to by its number."""

    def __init__(self) -> None:
        self.schemas: list[Schema] = []
        self._numbers: dict[str, int] = {}

    def put(self, schema: Schema) -> Schema:
        text = json.dumps(schema, sort_keys=True)
        if text not in self._numbers:
            self._numbers[text] = len(self.schemas)
            self.schemas.append(schema)
        return {"$ref": self._numbers[text]}


def compact(schema: Mapping[str, Any], parts: Parts, named: Mapping[str, Any] | None = None) -> Schema:
    """A reference to the schema, which is now among the parts.

    Args:
        named: definitions that it refers to by name.
    """
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/definitions/")
        special = _SPECIAL.get(name) if named is not None and name in named else _ANYTHING
        return parts.put(special) if special is not None else compact((named or {})[name], parts, named)
    kept: Schema = {key: schema[key] for key in _KEPT if key in schema}
    if schema.get("x-kubernetes-int-or-string") and str(schema.get("pattern", "")).startswith(_QUANTITY):
        return parts.put({"type": "quantity"})
    for key in ("items", "not", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            kept[key] = compact(schema[key], parts, named)
    if "properties" in schema:
        kept["properties"] = {
            name: compact(value, parts, named) for name, value in sorted(schema["properties"].items())
        }
    if not schema.get("x-kubernetes-int-or-string"):
        for key in ("anyOf", "oneOf", "allOf"):
            if key in schema:
                kept[key] = [compact(each, parts, named) for each in schema[key]]
    rules = [_rule(rule) for rule in schema.get("x-kubernetes-validations", ()) if "rule" in rule]
    if rules:
        kept["x-kubernetes-validations"] = rules
    return parts.put(kept)


def compact_crd(crd: Mapping[str, Any], parts: Parts) -> Iterator[tuple[str, str, Schema]]:
    """(apiVersion, kind, entry) of every version that the CRD serves; of one that is no CRD, nothing."""
    group, kind = at(crd, "spec", "group"), at(crd, "spec", "names", "kind")
    for _, version in mappings(at(crd, "spec", "versions")):
        schema = at(version, "schema", "openAPIV3Schema")
        if isinstance(schema, Mapping) and version.get("served", True):
            entry = _entry(schema, parts, None, is_namespaced=at(crd, "spec", "scope") == "Namespaced")
            yield f"{group}/{version.get('name')}", str(kind), entry


def _entry(
    schema: Mapping[str, Any], parts: Parts, named: Mapping[str, Any] | None, *, is_namespaced: bool
) -> Schema:
    """The whole object's schema; what every object has (metadata) and what nobody writes (status) is left open."""
    properties = dict(schema.get("properties", {})) | dict.fromkeys(_EVERYWHERE, _ANYTHING)
    top = {**schema, "properties": properties}
    top["required"] = [name for name in schema.get("required", ()) if name not in _EVERYWHERE]
    return {"namespaced": is_namespaced, "native": named is not None, "schema": compact(top, parts, named)}


def _rule(rule: Mapping[str, Any]) -> dict[str, str]:
    return {key: rule[key] for key in ("rule", "message", "messageExpression") if key in rule}


def _native(
    swagger: Mapping[str, Any], scopes: Mapping[tuple[str, str], bool]
) -> Iterator[tuple[str, str, Any, bool]]:
    """(group, version, kind, definition) of what can be applied."""
    for definition in swagger["definitions"].values():
        for kind in definition.get("x-kubernetes-group-version-kind", ()):
            version = f"{kind['group']}/{kind['version']}".lstrip("/")
            if len(definition["x-kubernetes-group-version-kind"]) == 1 and (version, kind["kind"]) in scopes:
                yield version, kind["kind"], definition, scopes[version, kind["kind"]]


def _scopes(swagger: Mapping[str, Any]) -> dict[tuple[str, str], bool]:
    """(apiVersion, kind) -> is it namespaced: of everything that can be created."""
    found: dict[tuple[str, str], bool] = {}
    for path, verbs in swagger["paths"].items():
        kind = verbs.get("post", {}).get("x-kubernetes-group-version-kind")
        if kind is not None and re.search(r"/\{(?!namespace\})[a-z]+\}", path) is None:
            version = f"{kind['group']}/{kind['version']}".lstrip("/")
            found[version, kind["kind"]] = "/namespaces/{namespace}/" in path
    return found


def _crds(folder: Path) -> Iterator[Mapping[str, Any]]:
    for path in sorted(folder.rglob("*.yaml")):
        if "experimental" in path.parts:
            continue  # Gateway API's other channel, which has the same kinds again
        for document in read_documents(path.read_text()):
            value = document.value
            if isinstance(value, dict) and value.get("kind") == "CustomResourceDefinition":
                yield value


def write(folder: Path, out: Path) -> None:
    """Write every group that is found in `folder` to a file of its own in `out`."""
    parts: dict[str, Parts] = defaultdict(Parts)
    kinds: dict[str, dict[str, Schema]] = defaultdict(dict)
    for crd in _crds(folder):
        group = crd["spec"]["group"]
        for version, kind, entry in compact_crd(crd, parts[group]):
            kinds[group][f"{version} {kind}"] = entry
    for path in folder.glob("kubernetes-openapi-*/swagger.json"):
        swagger = json.loads(path.read_text())
        meta = swagger["definitions"]["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"]
        kinds[CORE][" metadata"] = {"schema": compact(meta, parts[CORE], swagger["definitions"])}
        for version, kind, definition, is_namespaced in _native(swagger, _scopes(swagger)):
            group = version.partition("/")[0] if "/" in version else CORE
            kinds[group][f"{version} {kind}"] = _entry(
                definition, parts[group], swagger["definitions"], is_namespaced=is_namespaced
            )
    for group, entries in kinds.items():
        (out / f"{group}.json").write_text(_text(entries, parts[group]))


def _text(kinds: Mapping[str, Schema], parts: Parts) -> str:
    """JSON with a line for each kind and each part, so that a new release shows as a few changed lines."""
    kind_lines = ",\n".join(f"{json.dumps(name)}:{_dense(entry)}" for name, entry in sorted(kinds.items()))
    part_lines = ",\n".join(_dense(schema) for schema in parts.schemas)
    return f'{{"kinds":{{\n{kind_lines}\n}},"parts":[\n{part_lines}\n]}}\n'


def _dense(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path(sys.argv[2]))
