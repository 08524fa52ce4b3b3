from typing import Any

import pytest

from kuberay.connection import Answer
from kuberay.errors import (
    Absent,
    Changed,
    ClusterError,
    Denied,
    Ending,
    FieldConflict,
    Forbidden,
    Invalid,
    NoDryRun,
    Refused,
)
from kuberay.refusals import is_passing, is_passing_for_apply, raised_by


def answer(code: int, reason: str = "", message: str = "", **details: Any) -> Answer:
    return Answer(
        code, {"kind": "Status", "code": code, "reason": reason, "message": message, "details": details}
    )


@pytest.mark.parametrize(
    ("said", "kind", "text"),
    [
        (answer(404, "NotFound", 'namespaces "manta" not found'), Absent, 'namespaces "manta" not found'),
        (answer(409, "AlreadyExists", "it exists"), Changed, "it exists"),
        (answer(400, "BadRequest", 'strict decoding error: unknown field "spec.a"'), Invalid, "spec.a"),
        (answer(422, "Invalid", "spec.x: Required value"), Invalid, "Required value"),
        # What older servers say of unknown fields of an apply.
        (
            answer(500, "", "failed to create typed patch object: .spec.a: field not declared in schema"),
            Invalid,
            ".spec.a",
        ),
        (answer(401, "Unauthorized", "Unauthorized"), Refused, "does not know these credentials"),
        (
            answer(403, "Forbidden", 'pods is\nforbidden: User "x" cannot list resource "pods"'),
            Forbidden,
            'cannot list Pod: pods is forbidden: User "x"',
        ),
        (
            answer(
                403, "Forbidden", 'roles "r" is forbidden: user "x" (groups=["y"]) is attempting to grant'
            ),
            Forbidden,
            "attempting to grant",
        ),
        (Answer(403, {"kind": "Status", "message": "Forbidden by the proxy"}), Forbidden, "by the proxy"),
        (
            answer(403, "Forbidden", 'pods "a" is forbidden: violates PodSecurity "restricted:latest"'),
            Denied,
            "violates PodSecurity",
        ),
        (answer(403, "Forbidden", 'pods "a" is forbidden: exceeded quota: q'), Denied, "exceeded quota"),
        (answer(400, "BadRequest", 'admission webhook "w" does not support dry run'), NoDryRun, "webhook"),
        (
            answer(422, "Invalid", "spec.template: Invalid value: {}: field is immutable"),
            Invalid,
            "delete the object and apply it anew",
        ),
        (
            answer(422, "Invalid", "spec.clusterIP: Invalid value: []: may not change once set"),
            Invalid,
            "it cannot change in place",
        ),
        (
            answer(
                422,
                "Invalid",
                "spec: Forbidden: updates to statefulset spec for fields other than 'replicas'",
            ),
            Invalid,
            "it cannot change in place",
        ),
        (answer(418), Refused, "HTTP 418"),
    ],
)
def test_refusals_by_what_to_do_about_them(said: Answer, kind: type[Refused], text: str) -> None:
    fault = raised_by(said, "list Pod")
    assert type(fault) is kind
    assert text in str(fault)
    assert isinstance(fault, Refused)
    assert fault.http_code == said.code


def test_a_namespace_that_ends_is_waited_for_not_asked_for_rights() -> None:
    message = (
        'pods "a" is forbidden: unable to create new content in namespace n because it is being terminated'
    )
    fault: ClusterError = raised_by(answer(403, "Forbidden", message), "apply Pod n/a")
    assert type(fault) is Ending


def test_a_conflict_names_fields_and_owners() -> None:
    causes = [
        {
            "reason": "FieldManagerConflict",
            "field": ".spec.replicas",
            "message": 'conflict with "keda" using apps/v1',
        },
        {
            "reason": "FieldManagerConflict",
            "field": ".spec.x",
            "message": 'conflict with "me" with subresource "status"',
        },
    ]
    fault = raised_by(
        answer(409, "Conflict", "Apply failed with 2 conflicts", causes=causes), "apply Deployment a/b"
    )
    assert isinstance(fault, FieldConflict)
    assert fault.conflicts == ((".spec.replicas", "keda"), (".spec.x", "me"))
    assert "other managers own these fields: .spec.replicas (keda), .spec.x (me)" in str(fault)


@pytest.mark.parametrize(
    ("said", "passes"),
    [
        (answer(429, "TooManyRequests"), True),
        (answer(503), True),
        (answer(504, "Timeout"), True),
        (answer(500, "ServerTimeout"), True),
        (
            answer(
                500,
                "InternalError",
                "failed calling webhook a: dial tcp 10.0.0.1:443: connect: connection refused",
            ),
            True,
        ),
        (answer(500, "InternalError", "failed calling webhook a: no endpoints available for service"), True),
        (answer(500, "InternalError", "failed calling webhook a: denied by policy"), False),
        (answer(409, "Conflict"), False),
        (answer(403, "Forbidden"), False),
    ],
)
def test_what_passes(said: Answer, passes: bool) -> None:
    assert is_passing(said) is passes


@pytest.mark.parametrize(
    ("said", "passes"),
    [
        (answer(409, "Conflict", "Operation cannot be fulfilled on rayservices: the object has been modified"), True),
        (answer(409, "AlreadyExists", "it exists"), True),
        (answer(409, "Conflict", causes=[{"reason": "FieldManagerConflict", "message": 'conflict with "x"'}]), False),
        (answer(404, "NotFound", "the server could not find the requested resource"), True),
        (Answer(404, {"kind": "Status", "message": "404 page not found"}), True),
        (answer(404, "NotFound", 'namespaces "manta" not found'), False),
        (answer(500, "InternalError", "etcdserver: request timed out"), True),
        (answer(500, "InternalError", "etcdserver: request is too large"), False),
        (answer(422, "Invalid", "spec: Required value"), False),
    ],
)  # fmt: skip
def test_what_passes_for_an_apply(said: Answer, passes: bool) -> None:
    assert is_passing_for_apply(said) is passes
