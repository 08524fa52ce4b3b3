"""Errors of our tree as bytes, for the channel: pickle would let a forged frame run code.

An error is a JSON list of the class' name and its constructor's arguments; bytes among them are `{"base64": ...}`.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from serve_app import errors
from serve_app.errors import EngineFailed, MantaError

_BY_NAME: dict[str, type[MantaError]] = {
    name: value
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, MantaError)
}


def encode_error(error: Exception) -> bytes:
    """The error's own class if it is one of our tree; anything else is an EngineFailed that names it."""
    if isinstance(error, MantaError) and error.__class__.__name__ in _BY_NAME:
        return json.dumps([error.__class__.__name__, *error.args], default=_as_text).encode()
    return json.dumps(["EngineFailed", f"{error.__class__.__name__}: {error}"]).encode()


def decode_error(payload: bytes) -> MantaError:
    """The error that was encoded; an EngineFailed that says so if it cannot be understood."""
    try:
        name, *args = json.loads(payload, object_hook=_as_bytes)
        return _BY_NAME[name](*args)
    except (ValueError, KeyError, TypeError):
        return EngineFailed(f"the stream ended with an error that is not understood: {payload[:200]!r}")


def _as_text(value: Any) -> dict[str, str]:
    if not isinstance(value, bytes):
        raise TypeError(f"{type(value).__name__} does not travel in an error")
    return {"base64": base64.b64encode(value).decode("ascii")}


def _as_bytes(value: dict[str, Any]) -> Any:
    return base64.b64decode(value["base64"], validate=True) if value.keys() == {"base64"} else value
