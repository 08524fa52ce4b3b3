"""What can go wrong with a cluster, by what the caller does about it.

ClusterError
|-- NoCluster            name a kubeconfig and a context that exist
|-- Unreachable          nothing answers there, or it stopped answering
|-- KindMissing          install the operator that brings the kind
|-- Ending               it, or its namespace, is still being deleted: wait for its end
|-- Refused              the API server said no: `status`, `reason`
|   |-- Absent           it is not there
|   |-- Forbidden        we are known, and may not
|   |-- Denied           we may, and admission (a webhook, a policy, a quota) says no: fix the object, or ask for more
|   |-- NoDryRun         it cannot be asked without being done: a webhook in the way takes no dry runs
|   |-- FieldConflict    somebody else owns these fields: leave them out, or force
|   |-- Changed          it was changed or made meanwhile: read it again
|   `-- Invalid          the object is wrong: fix it
|-- NotServing           it was applied and does not serve: `reasons` say why
`-- NoRevision           there is nothing to go back to
"""

from __future__ import annotations

from collections.abc import Sequence

from serve_app.errors import MantaError


class ClusterError(MantaError):
    """A fault of a cluster, or of what it was asked for; one line for a person."""


class NoCluster(ClusterError):
    """It is not clear which cluster, or as whom."""


class Unreachable(ClusterError):
    """No API server answers."""


class KindMissing(ClusterError):
    """The cluster has no such kind; `api_version` and `kind` name it."""

    def __init__(self, message: str, api_version: str = "", kind: str = "") -> None:
        super().__init__(message, api_version, kind)
        self.api_version = api_version
        self.kind = kind


class Ending(ClusterError):
    """An object of that name, or its namespace, is being deleted: what is applied now goes with it."""


class Refused(ClusterError):
    """The API server answered with a Status: its HTTP code, its reason and its message."""

    def __init__(self, message: str, http_code: int = 0, reason: str = "", *more: object) -> None:
        super().__init__(message, http_code, reason, *more)
        self.http_code = http_code
        self.reason = reason


class Absent(Refused):
    """Nothing of that name is there."""


class Forbidden(Refused):
    """Who we are may not do this."""


class Changed(Refused):
    """The object changed, or came into being, since it was last read."""


class Invalid(Refused):
    """The object breaks its schema or a rule of the server's."""


class Denied(Refused):
    """Admission refused the object: a webhook, a policy, a quota, a Pod Security Standard."""


class NoDryRun(Refused):
    """A webhook has side effects, so the server asks it nothing in a dry run and refuses that instead."""


class FieldConflict(Refused):
    """Other field managers own what was applied; `conflicts` has (field, manager) for each."""

    def __init__(
        self,
        message: str,
        http_code: int = 409,
        reason: str = "Conflict",
        conflicts: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(message, http_code, reason, tuple(conflicts))
        self.conflicts = tuple(conflicts)


class NotServing(ClusterError):
    """It does not serve, or not in time; `reasons` are what was found, the likeliest first."""

    def __init__(self, message: str, reasons: Sequence[str] = ()) -> None:
        super().__init__(message, tuple(reasons))
        self.reasons = tuple(reasons)


class NoRevision(ClusterError):
    """The history holds nothing that served before."""
