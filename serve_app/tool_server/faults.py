"""Errors of our tree as part of a tool's result, and back: a caller in another process does the same about them.

The code travels in the result's `_meta`, beside a message for whoever reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serve_app.errors import (
    BadRequest,
    DeadlineExceeded,
    EngineFailed,
    LimitReached,
    MantaError,
    Overloaded,
    Unavailable,
)
from serve_app.grounding.untrusted import one_line

ERROR_KEY = "manta/error"
_MAX_MESSAGE_CHARS = 300
_MAX_RETRY_AFTER_S = 3600.0


def meta_of(error: MantaError) -> dict[str, Any]:
    """What of an error goes into `_meta`."""
    told: dict[str, Any] = {"code": error.code or error.type}
    if isinstance(error, Overloaded | LimitReached | Unavailable):
        told["retry_after_s"] = error.retry_after_s
    return {ERROR_KEY: told}


def error_of(meta: Mapping[str, Any] | None, text: str, who: str) -> MantaError:
    """The error that a tool's result tells of. What it says is untrusted, and what it leaves out is a failure.

    Args:
        who: whom the message names.
    """
    told = (meta or {}).get(ERROR_KEY)
    code = told.get("code") if isinstance(told, Mapping) else None
    message = f"{who}: {one_line(text, _MAX_MESSAGE_CHARS) or 'no message'}"
    if code in (Overloaded.code, LimitReached.code):
        return Overloaded(message, _retry_after_s(told, 1.0))
    if code == Unavailable.code:
        return Unavailable(message, _retry_after_s(told, 5.0))
    if code == DeadlineExceeded.code:
        return DeadlineExceeded(message, who)
    if code == BadRequest.type:
        return BadRequest(message)
    return EngineFailed(message)


def _retry_after_s(told: Any, default: float) -> float:
    seconds = told.get("retry_after_s")
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    return min(float(seconds), _MAX_RETRY_AFTER_S) if is_number and seconds >= 0 else default
