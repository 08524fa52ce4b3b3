"""What the API server means when it says no: Status documents (meta/v1) as errors that a person can act upon."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from kuberay.connection import Answer
from kuberay.errors import (
    Absent,
    Changed,
    Denied,
    Ending,
    FieldConflict,
    Forbidden,
    Invalid,
    NoDryRun,
    Refused,
)
from kuberay.objects import at

_PASSING = (429, 503, 504)
_PASSING_REASONS = ("ServerTimeout", "TooManyRequests", "ServiceUnavailable", "Timeout")
# Operators serve webhooks for their own kinds; for seconds after they were installed nobody answers there.
_WEBHOOK_IS_NOT_UP = re.compile(
    r"failed calling webhook.*(connection refused|no endpoints available|deadline exceeded|EOF|x509)",
    re.DOTALL,
)
_STORE_IS_NOT_UP = re.compile(r"etcdserver: (request timed out|leader changed|too many requests)")
_NOT_SERVED = re.compile(r"could not find the requested resource|page not found")
_MANAGER = re.compile(r'conflict with "([^"]*)"')
# RBAC names who may not (`User "x" cannot patch ...`, `user "x" (groups=[...]) is attempting to grant ...`);
# admission names what is wrong with the object.
_NAMES_US = re.compile(r'\buser "', re.IGNORECASE)
_ENDING = "because it is being terminated"
_TAKES_NO_DRY_RUN = "does not support dry run"
# apimachinery's ValidateImmutableField, and the words of StatefulSets, claims of volumes and Services for the same.
_FIXED = re.compile(
    r"field is immutable|may not change once set|updates to statefulset spec for fields other than|"
    r"spec is immutable after creation|field can not be less than (previous value|status\.capacity)"
)
MAX_CAUSES = 8


def is_passing(answer: Answer) -> bool:
    """Whether the same request may succeed a little later."""
    said = str(answer.document.get("message") or "")
    return (
        answer.code in _PASSING
        or answer.document.get("reason") in _PASSING_REASONS
        or (answer.code >= 500 and bool(_WEBHOOK_IS_NOT_UP.search(said) or _STORE_IS_NOT_UP.search(said)))
    )


def is_passing_for_apply(answer: Answer) -> bool:
    """The same for an apply that names no version, and of a kind that the cluster is known to have.

    Somebody wrote the object at the same moment, as operators write status and finalizers (the server has tried
    five times by then); or a kind is new, and only some of several API servers serve it yet.
    """
    if answer.code == 409:
        return not _conflicts(answer.document)
    if answer.code == 404:
        return bool(_NOT_SERVED.search(str(answer.document.get("message") or "")))
    return is_passing(answer)


def raised_by(answer: Answer, doing: str) -> Refused | Ending:  # noqa: PLR0911 (one error a code)
    """The error for a refusal; `doing` says what was asked, as in "apply RayService manta/manta"."""
    status = answer.document
    code, reason = answer.code or int(status.get("code") or 0), str(status.get("reason") or "")
    text = f"cannot {doing}: {_words(status) or f'HTTP {code}'}"
    if code == 401:
        return Refused(f"{text}; the cluster does not know these credentials", code, reason)
    if code == 403:
        return _forbidden(answer, text)
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
    if _TAKES_NO_DRY_RUN in text:
        return NoDryRun(text, code, reason)
    if _FIXED.search(text):
        return Invalid(
            f"{text}; it cannot change in place: delete the object and apply it anew", code, reason
        )
    # What cannot be merged at all has no code of its own: unknown fields, and keys of a list that are there twice.
    if code in (400, 422) or "field not declared in schema" in text or "typed patch object" in text:
        return Invalid(text, code, reason)
    return Refused(text, code, reason)


def _forbidden(answer: Answer, text: str) -> Refused | Ending:
    """A 403 of RBAC, of admission, or of a namespace that ends; what is no Status is of somebody in between."""
    reason = str(answer.document.get("reason") or "")
    if _ENDING in text:
        return Ending(text)
    if reason == "Forbidden" and not _NAMES_US.search(text):
        return Denied(text, 403, reason)
    return Forbidden(text, 403, reason)


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
