"""What the API server means when it says no: Status documents (meta/v1) as errors that a person can act upon."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from kuberay.connection import Answer
from kuberay.errors import Absent, Changed, FieldConflict, Invalid, Refused
from kuberay.objects import at

_PASSING = (429, 503, 504)
_PASSING_REASONS = ("ServerTimeout", "TooManyRequests", "ServiceUnavailable", "Timeout")
# Operators serve webhooks for their own kinds; for seconds after they were installed nobody answers there.
_WEBHOOK_IS_NOT_UP = re.compile(
    r"failed calling webhook.*(connection refused|no endpoints available|deadline exceeded|EOF|x509)",
    re.DOTALL,
)
_MANAGER = re.compile(r'conflict with "([^"]*)"')
MAX_CAUSES = 8


def is_passing(answer: Answer) -> bool:
    """Whether the same request may succeed a little later."""
    said = str(answer.document.get("message") or "")
    return (
        answer.code in _PASSING
        or answer.document.get("reason") in _PASSING_REASONS
        or (answer.code >= 500 and bool(_WEBHOOK_IS_NOT_UP.search(said)))
    )


def raised_by(answer: Answer, doing: str) -> Refused:
    """The error for a refusal; `doing` says what was asked, as in "apply RayService manta/manta"."""
    status = answer.document
    code, reason = answer.code or int(status.get("code") or 0), str(status.get("reason") or "")
    text = f"cannot {doing}: {_words(status) or f'HTTP {code}'}"
    if code == 401:
        return Refused(f"{text}; the cluster does not know these credentials", code, reason)
    if code == 404:
        return Absent(text, code, reason)
    if code == 409:
        if conflicts := _conflicts(status):
            owners = ", ".join(f"{field} ({manager})" for field, manager in conflicts[:MAX_CAUSES])
            more = f" and {len(conflicts) - MAX_CAUSES} more" if len(conflicts) > MAX_CAUSES else ""
            return FieldConflict(
                f"cannot {doing}: other managers own these fields: {owners}{more}", code, reason, conflicts
            )
        return Changed(text, code, reason)
    if code in (400, 422) or "field not declared in schema" in text:
        return Invalid(text, code, reason)
    return Refused(text, code, reason)


def _words(status: Mapping[str, Any]) -> str:
    """The message on one line. That of a 422 repeats its causes already."""
    return " ".join(str(status.get("message") or status.get("reason") or "").split())


def _conflicts(status: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(field, manager) of each; see meta/v1 StatusCause of type FieldManagerConflict."""
    found = []
    for cause in at(status, "details", "causes") or ():
        if cause.get("reason") == "FieldManagerConflict":
            named = _MANAGER.search(str(cause.get("message") or ""))
            manager = named.group(1) if named else str(cause.get("message") or "somebody")
            found.append((str(cause.get("field") or ""), manager))
    return found
