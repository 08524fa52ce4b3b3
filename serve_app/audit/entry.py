"""A decision as the audit log has it. There is no field for content, so none can slip in."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One decision. What is None was not so, or is not known, and is left out of the line."""

    time: str  # ISO 8601, UTC, with milliseconds
    action: str  # "request", or what an administrator did: "key.create", "key.revoke"
    verdict: str  # "allowed", or the code of the error that refused it
    who: str | None = None  # id of the key, ISSUER#SUBJECT, "gateway", "anonymous"; None: nobody known
    kind: str | None = None  # of who: "key", "token", "gateway", "anonymous", "operator"
    tenant: str | None = None
    role: str | None = None
    method: str | None = None
    path: str | None = None
    model: str | None = None
    status: int | None = None
    request_id: str | None = None
    trace_id: str | None = None
    num_prompt_tokens: int | None = None
    num_answer_tokens: int | None = None
    usd: float | None = None
    duration_s: float | None = None
    flags: tuple[str, ...] | None = None  # "local_limits", "broken"
    subject: str | None = None  # of an administrative act: the key's id
    num_left_out: int | None = None  # lines about nobody known that were not written before this one

    def line(self) -> bytes:
        known = {name: value for name, value in asdict(self).items() if value is not None}
        return json.dumps(known, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
