"""A value against an OpenAPI schema, as the API server does it with strict field validation: unknown keys are faults.

Defaults are filled in first, nulls dropped, as there. Rules in CEL that compare with the object's former state are left
out: there is none. Knows schemas, and nothing of files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from cluster.lint.cel import evaluate
from cluster.lint.cel_functions import CelError
from cluster.lint.compact import Schema
from cluster.lint.quantities import QUANTITY
from cluster.lint.schemas import Kind
from cluster.lint.words import closest, listed
from cluster.lint.yaml_text import Path

_JSON_NAMES = {
    dict: "an object",
    list: "a list",
    str: "text",
    bool: "true or false",
    int: "a number",
    float: "a number",
}
_WANTED = {
    "object": "an object",
    "array": "a list",
    "string": "text",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "quantity": "a quantity (2, 500m, 4Gi)",
}
_CHOICES: tuple[tuple[str, Callable[[int], bool], str], ...] = (
    ("anyOf", lambda count: count > 0, "at least one"),
    ("oneOf", lambda count: count == 1, "exactly one"),
)
_BOUNDS = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}


@dataclass(frozen=True)
class Misfit:
    """What a schema refuses, at a path within the value."""

    kind: str  # unknown-field, type, required, value, rule
    path: Path
    message: str
    fix: str


def misfits(kind: Kind, value: object, at: Path = ()) -> list[Misfit]:
    """Everything that the API server would refuse of the value; paths begin with `at`."""
    found: list[Misfit] = []
    check = _Check(kind, found.append)
    check.value(check.defaulted(value, kind.schema), kind.schema, at, ())
    return found


class _Check:
    def __init__(self, kind: Kind, report: Callable[[Misfit], None]) -> None:
        self._kind = kind
        self._parts = kind.parts
        self._is_native = kind.is_native
        self._report = report

    def defaulted(self, value: object, schema: Schema) -> object:
        """A copy with the schema's defaults in it, and without nulls in objects."""
        schema = self._resolved(schema)
        if isinstance(value, list):
            return [self.defaulted(item, schema.get("items", {})) for item in value]
        if not isinstance(value, dict):
            return value
        properties: Mapping[str, Schema] = schema.get("properties", {})
        filled: dict[str, object] = {}
        for name, item in value.items():
            part = self._member(schema, name)
            if item is not None or (part is not None and self._resolved(part).get("nullable")):
                filled[name] = self.defaulted(item, part or {})
            elif part is None and not schema.get("x-kubernetes-preserve-unknown-fields"):
                filled[name] = item  # unknown, and to be said so
        for name, part in properties.items():
            default = self._resolved(part).get("default")
            if name not in filled and default is not None:
                filled[name] = self.defaulted(default, part)
        return filled

    def value(self, value: object, schema: Schema, path: Path, above: Sequence[str]) -> None:
        """`above`: the keys that the object around this one knows, for a key that slipped a level down."""
        schema = self._resolved(schema)
        reported = _Count(self._report)
        check = _Check(self._kind, reported)
        if not check._type(value, schema, path):
            return
        if isinstance(value, dict):
            check._object(value, schema, path, above)
        elif isinstance(value, list):
            check._array(value, schema, path, above)
        else:
            check._scalar(value, schema, path)
        check._combined(value, schema, path)
        # Where the shape is wrong already, the rules would only say it again.
        if not reported.count:
            check._rules(value, schema, path)

    def _type(self, value: object, schema: Schema, path: Path) -> bool:
        wanted = schema.get("type")
        if schema.get("x-kubernetes-int-or-string"):
            if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
                return True
            return self._wrong_type(value, "a whole number or text", path)
        if wanted is None or (value is None and (schema.get("nullable") or self._is_native)):
            return value is not None
        if wanted == "quantity":
            return self._quantity(value, path)
        if _fits(value, wanted):
            return True
        return self._wrong_type(value, _WANTED[wanted], path)

    def _wrong_type(self, value: object, wanted: str, path: Path) -> bool:
        is_number = isinstance(value, (bool, int, float))
        fix = f'quote it: "{_plain(value)}"' if wanted == "text" and is_number else f"write {wanted}"
        if isinstance(value, (dict, list)) and wanted == "text":
            fix = "write it as a block of text: a | after the colon"
        elif isinstance(value, dict) and wanted == "a list":
            fix = "begin each entry with a -"
        if isinstance(value, str) and wanted in ("a whole number", "a number", "true or false"):
            fix = f"write {wanted}, without quotes" if _looks_like(value, wanted) else f"write {wanted}"
        self._say("type", path, f"{_shown(value)} is {_name(value)}, where {wanted} belongs", fix)
        return False

    def _quantity(self, value: object, path: Path) -> bool:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return True
        if not isinstance(value, str):
            return self._wrong_type(value, _WANTED["quantity"], path)
        if QUANTITY.fullmatch(value):
            return True
        suffix = re.sub(r"^[0-9.+-]+\s*", "", value)
        meant = {
            "GB": "G",
            "MB": "M",
            "KB": "k",
            "GiB": "Gi",
            "MiB": "Mi",
            "KiB": "Ki",
            "g": "Gi",
            "gi": "Gi",
            "mi": "Mi",
            "gb": "G",
        }
        fix = (
            f"write {value[: -len(suffix)].strip()}{meant[suffix]}"
            if suffix in meant
            else "write a quantity: 2, 500m, 4Gi"
        )
        self._say("type", path, f"{_shown(value)} is no quantity", fix)
        return False

    def _object(self, value: Mapping[str, object], schema: Schema, path: Path, above: Sequence[str]) -> None:
        properties: Mapping[str, Schema] = schema.get("properties", {})
        for name, item in value.items():
            part = self._member(schema, name)
            if part is not None:
                self.value(item, part, (*path, name), list(properties))
            elif not _is_open(schema):
                self._unknown(name, item, schema, path, above)
        for name in schema.get("required", ()):
            if name not in value:
                self._say("required", path, f"{name} is missing", f"add {name}")
        self._size(len(value), schema, "Properties", path)

    def _unknown(self, name: str, item: object, schema: Schema, path: Path, above: Sequence[str]) -> None:
        properties: Mapping[str, Schema] = schema.get("properties", {})
        meant = closest(name, properties)
        if name in above:
            beside = next((step for step in reversed(path) if isinstance(step, str)), "this")
            fix = f"it belongs one level up, beside {beside}: check the indentation"
        elif (
            below := [key for key, part in properties.items() if name in self._properties(part)]
        ) and meant is None:
            fix = f"it belongs under {listed(below)}"
        elif meant is not None:
            fix = f"did you mean {meant}?"
        else:
            fix = f"remove it; known here: {listed(sorted(properties))}" if properties else "remove it"
        kind = "unknown-null" if item is None else "unknown-field"
        self._say(kind, (*path, name), f"unknown field {name}", fix)

    def _properties(self, schema: Schema) -> Mapping[str, Schema]:
        schema = self._resolved(schema)
        if "items" in schema:
            schema = self._resolved(schema["items"])
        found: Mapping[str, Schema] = schema.get("properties", {})
        return found

    def _array(self, value: Sequence[object], schema: Schema, path: Path, above: Sequence[str]) -> None:
        for index, item in enumerate(value):
            self.value(item, schema.get("items", {}), (*path, index), above)
        self._size(len(value), schema, "Items", path)
        keys = schema.get("x-kubernetes-list-map-keys")
        # Kubernetes' own lists are checked case by case there: env may name a variable twice.
        if self._is_native or (keys is None and schema.get("x-kubernetes-list-type") != "set"):
            return
        seen: dict[str, int] = {}
        for index, item in enumerate(value):
            identity = {key: item.get(key) for key in keys} if keys and isinstance(item, dict) else item
            if seen.setdefault(repr(identity), index) != index:
                said = (
                    ", ".join(f"{key} {part}" for key, part in identity.items())
                    if isinstance(identity, dict)
                    else repr(item)
                )
                self._say("value", (*path, index), f"a second entry with {said}", "keep one of them")

    def _scalar(self, value: object, schema: Schema, path: Path) -> None:
        if "enum" in schema and value not in schema["enum"]:
            meant = closest(str(value), map(str, schema["enum"]))
            fix = (
                f"did you mean {meant}?" if meant else f"write one of {listed(map(str, schema['enum']), 12)}"
            )
            self._say("value", path, f"{_shown(value)} is none of the values that are allowed", fix)
        if isinstance(value, str):
            self._size(len(value), schema, "Length", path)
            if "pattern" in schema and not _matches(schema["pattern"], value):
                self._say(
                    "value",
                    path,
                    f"{_shown(value)} does not match {schema['pattern']}",
                    "write it in that form",
                )
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            self._number(value, schema, path)

    def _number(self, value: float, schema: Schema, path: Path) -> None:
        low, high = _BOUNDS.get(schema.get("format", ""), (None, None))
        low, high = schema.get("minimum", low), schema.get("maximum", high)
        if low is not None and (value < low or (value == low and schema.get("exclusiveMinimum"))):
            self._say("value", path, f"{value} is below {low}", f"write at least {low}")
        if high is not None and (value > high or (value == high and schema.get("exclusiveMaximum"))):
            self._say("value", path, f"{value} is above {high}", f"write at most {high}")

    def _size(self, size: int, schema: Schema, what: str, path: Path) -> None:
        named = {"Properties": "keys", "Items": "entries", "Length": "characters"}[what]
        low, high = schema.get(f"min{what}"), schema.get(f"max{what}")
        if low is not None and size < low:
            self._say("value", path, f"{size} {named}, where at least {low} belong", "add what is missing")
        if high is not None and size > high:
            self._say("value", path, f"{size} {named}, where at most {high} are allowed", "shorten it")

    def _combined(self, value: object, schema: Schema, path: Path) -> None:
        for part in schema.get("allOf", ()):
            self.value(value, _open(self._resolved(part)), path, ())
        for name, is_right, rule in _CHOICES:
            parts = schema.get(name, ())
            if parts and not is_right([self._passes(value, part) for part in parts].count(True)):
                asked = [" and ".join(self._resolved(part).get("required", ())) for part in parts]
                fix = f"set {rule} of {listed(asked)}" if all(asked) else "see the field's documentation"
                self._say("value", path, f"fits not {rule} of the allowed forms", fix)
        if "not" in schema and self._passes(value, schema["not"]):
            banned = " and ".join(self._resolved(schema["not"]).get("required", ())) or "this"
            self._say("value", path, f"{banned} may not be given here", "remove it")

    def _passes(self, value: object, schema: Schema) -> bool:
        reported = _Count(None)
        _Check(self._kind, reported).value(value, _open(self._resolved(schema)), (), ())
        return not reported.count

    def _rules(self, value: object, schema: Schema, path: Path) -> None:
        for rule in schema.get("x-kubernetes-validations", ()):
            if "oldSelf" in rule["rule"]:
                continue
            try:
                is_kept = evaluate(rule["rule"], {"self": value})
            except CelError as exc:
                self._say(
                    "unread-rule",
                    path,
                    f"the rule {rule['rule']!r} cannot be applied: {exc}",
                    "check the value by hand",
                )
                continue
            if is_kept is not True:
                said = " ".join(rule.get("message", f"breaks the rule {rule['rule']}").split())
                self._say("rule", path, said, "write it as the rule says")

    def _member(self, schema: Schema, name: str) -> Schema | None:
        found: Schema | None = schema.get("properties", {}).get(name)
        if found is None and isinstance(schema.get("additionalProperties"), dict):
            found = schema["additionalProperties"]
        return found

    def _resolved(self, schema: Schema) -> Schema:
        return self._parts[schema["$ref"]] if "$ref" in schema else schema

    def _say(self, kind: str, path: Path, message: str, fix: str) -> None:
        self._report(Misfit(kind, path, message, fix))


class _Count:
    """Counts what is reported, and hands it on."""

    def __init__(self, report: Callable[[Misfit], None] | None) -> None:
        self.count = 0
        self._report = report

    def __call__(self, misfit: Misfit) -> None:
        self.count += 1
        if self._report is not None:
            self._report(misfit)


def _fits(value: object, wanted: str) -> bool:
    if wanted in ("integer", "number"):
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return is_number and (wanted == "number" or not isinstance(value, float) or value.is_integer())
    return isinstance(value, {"object": dict, "array": list, "string": str, "boolean": bool}[wanted])


def _is_open(schema: Schema) -> bool:
    return bool(
        schema.get("x-kubernetes-preserve-unknown-fields")
        or schema.get("additionalProperties") is True
        or schema.get("x-kubernetes-embedded-resource")
        or "type" not in schema
    )


def _open(schema: Schema) -> Schema:
    """Of a part of anyOf and its like, which names some fields and means no others by it."""
    return {**schema, "x-kubernetes-preserve-unknown-fields": True}


@lru_cache(maxsize=512)
def _pattern(text: str) -> re.Pattern[str] | None:
    try:
        # Go takes (?i) anywhere, Python at the start.
        return re.compile(("(?i)" if "(?i)" in text else "") + text.replace("(?i)", ""))
    except re.error:  # Go's syntax has a few words that Python's lacks
        return None


def _matches(pattern: str, value: str) -> bool:
    compiled = _pattern(pattern)
    return compiled is None or compiled.search(value) is not None


def _name(value: object) -> str:
    return "null" if value is None else _JSON_NAMES[type(value)]


def _shown(value: object) -> str:
    text = _plain(value) if not isinstance(value, (dict, list)) else "this"
    return repr(text) if isinstance(value, str) and len(text) <= 60 else text[:60]


def _plain(value: object) -> str:
    return {True: "true", False: "false"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def _looks_like(value: str, wanted: str) -> bool:
    return (
        value in ("true", "false") if wanted == "true or false" else bool(re.fullmatch(r"-?[0-9.]+", value))
    )
