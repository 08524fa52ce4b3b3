"""Whether a model's arguments fit a tool's schema. A fault is told in words that help the model to mend it."""

from __future__ import annotations

import json
from typing import Any

from serve_app.errors import BadRequest
from serve_app.messages import JsonObject

_MAX_TOLD_CHARS = 200


def parsed(arguments: str) -> JsonObject:
    """The arguments that a model wrote.

    Raises:
        BadRequest: they are no JSON object.
    """
    if not arguments.strip():  # what models write for a call without any
        return {}
    try:
        value: Any = json.loads(arguments)
    except ValueError as exc:
        raise BadRequest(f"the arguments are no JSON: {arguments[:_MAX_TOLD_CHARS]!r}") from exc
    if not isinstance(value, dict):
        raise BadRequest(f"the arguments are no JSON object: {arguments[:_MAX_TOLD_CHARS]!r}")
    return value


def check(arguments: JsonObject, schema: JsonObject) -> None:
    """Return if they fit.

    Raises:
        BadRequest: the first fault, with the argument's name.
    """
    # A library of its own, which only replicas of agents load.
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    fault = best_match(Draft202012Validator(schema).iter_errors(arguments))
    if fault is not None:
        where = ".".join(str(part) for part in fault.absolute_path)
        raise BadRequest(f"{where or 'arguments'}: {fault.message[:_MAX_TOLD_CHARS]}")
