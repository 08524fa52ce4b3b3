"""Writes down what Ray Serve's config may hold, from Ray's own models, so that lint need not import Ray.

    python -m cluster.lint.list_serve_schema > cluster/lint/serve_schema.json

Ray's models ignore keys that they do not know; the schema here is closed, as the ones of objects are.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from typing import Any

from cluster.lint.compact import Parts, Schema

_KEPT = ("type", "required", "enum", "pattern", "minimum", "maximum", "minLength", "minItems")


def document() -> dict[str, Any]:
    """The schema with the version of the Ray that it is from."""
    import ray
    from ray.serve.schema import ServeDeploySchema

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of defaults that JSON cannot say
        whole = ServeDeploySchema.model_json_schema()
    parts = Parts()
    schema = _put(whole, whole["$defs"], parts)
    return {"ray": ray.__version__, "schema": schema, "parts": parts.schemas}


def _put(schema: Mapping[str, Any], named: Mapping[str, Any], parts: Parts) -> Schema:
    """pydantic's JSON schema in the form of `compact`."""
    if "$ref" in schema:
        return _put(named[schema["$ref"].rpartition("/")[2]], named, parts)
    if "anyOf" in schema or "allOf" in schema:
        return _put_one_of(
            [each for each in schema.get("anyOf", schema.get("allOf", ())) if each.get("type") != "null"],
            named,
            parts,
        )
    kept: Schema = {key: schema[key] for key in _KEPT if key in schema}
    for key, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if key in schema:
            kept |= {limit: schema[key], key: True}
    if isinstance(schema.get("items"), dict):
        kept["items"] = _put(schema["items"], named, parts)
    extra = schema.get("additionalProperties")
    if isinstance(extra, dict):
        kept["additionalProperties"] = _put(extra, named, parts)
    elif "properties" in schema:
        kept["properties"] = {
            name: _put(value, named, parts) for name, value in sorted(schema["properties"].items())
        }
    elif schema.get("type") == "object":
        kept["x-kubernetes-preserve-unknown-fields"] = True
    return parts.put(kept)


def _put_one_of(choices: list[Any], named: Mapping[str, Any], parts: Parts) -> Schema:
    """The choice that says most: a model before a plain object."""
    types = {choice.get("type") for choice in choices}
    if {"integer", "string"} <= types:
        return parts.put({"x-kubernetes-int-or-string": True})
    models = [choice for choice in choices if "$ref" in choice]
    if len(choices) > 1 and not models:
        return parts.put({})
    return _put((models or choices)[0], named, parts)


if __name__ == "__main__":
    print(json.dumps(document(), separators=(",", ":"), sort_keys=True))  # noqa: T201 (its output is the file)
