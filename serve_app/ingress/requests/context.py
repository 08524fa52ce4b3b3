"""The context of a request, from its headers: who, until when, how urgent, in which trace.

Where nobody is asked who they are, the tenant is what the client says it is; `door` says it otherwise.
"""

from __future__ import annotations

import re
import uuid

from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import Headers

from configs.schema import IngressConfig, Name
from serve_app.errors import BadRequest
from serve_app.messages import Deadline, Priority, RequestContext

REQUEST_ID = "x-request-id"
TENANT = "x-manta-tenant"
TIMEOUT = "x-request-timeout-s"
PRIORITY = "x-manta-priority"
SESSION = "x-manta-session"
TRACEPARENT = "traceparent"
# What a gateway sends that passes on `x-` headers only, as LiteLLM does: see cluster/litellm/proxy.py.
CARRIED_TRACEPARENT = "x-manta-traceparent"

_TENANT: TypeAdapter[str] = TypeAdapter(Name)
_SANE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_SECONDS = re.compile(r"\d{1,9}(\.\d{1,9})?", re.ASCII)
# W3C Trace Context, https://www.w3.org/TR/trace-context/#traceparent-header (version ff is invalid)
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def request_id(headers: Headers) -> str:
    """The client's own id if it is short and plain, else a new one: it goes into logs and headers."""
    given = headers.get(REQUEST_ID, "")
    return given if _SANE_ID.fullmatch(given) else uuid.uuid4().hex


def read_context(
    headers: Headers, own_id: str, config: IngressConfig, tenant: str | None = None
) -> RequestContext:
    """The request's context; its time runs from now on. With a tenant given, no header says who it is.

    Raises:
        BadRequest: a header that cannot be understood; it is named.
    """
    return RequestContext(
        request_id=own_id,
        tenant=tenant or _tenant(headers, config),
        deadline=Deadline.after(_timeout_s(headers, config)),
        priority=_priority(headers, config),
        traceparent=read_traceparent(headers),
        session=headers.get(SESSION),
    )


def read_traceparent(headers: Headers) -> str | None:
    """The trace that the request belongs to. A malformed one is ignored, as the standard says."""
    given = headers.get(TRACEPARENT) or headers.get(CARRIED_TRACEPARENT, "")
    return given if _TRACEPARENT.fullmatch(given) else None


def _tenant(headers: Headers, config: IngressConfig) -> str:
    given = headers.getlist(TENANT)
    if not given:
        return config.default_tenant
    try:
        if len(given) > 1:
            raise BadRequest(f"the header {TENANT} stands there {len(given)} times", TENANT)
        return _TENANT.validate_python(given[0])
    except ValidationError as exc:
        raise BadRequest(f"the header {TENANT} holds no name: {given[0]!r:.80}", TENANT) from exc


def _timeout_s(headers: Headers, config: IngressConfig) -> float:
    given = headers.get(TIMEOUT)
    if given is None:
        return min(config.default_deadline_s, config.max_deadline_s)
    if not _SECONDS.fullmatch(given) or float(given) == 0:
        raise BadRequest(f"the header {TIMEOUT} is a number of seconds above 0, not {given!r:.80}", TIMEOUT)
    return min(float(given), config.max_deadline_s)


def _priority(headers: Headers, config: IngressConfig) -> Priority:
    given = headers.get(PRIORITY, config.priorities[0])
    if given not in config.priorities:
        allowed = " or ".join(config.priorities)
        raise BadRequest(f"the header {PRIORITY} is {allowed} here, not {given!r:.80}", PRIORITY)
    return Priority(given)
