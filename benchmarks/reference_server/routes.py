"""What is at which path: a request's head and body to the script that answers it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from benchmarks.reference_server.answers import plain
from benchmarks.reference_server.asked import Asked, read_chat, read_completion, read_embedding, tokenized
from benchmarks.reference_server.calls import Call, Pace, Script
from benchmarks.reference_server.faults import script_for
from benchmarks.reference_server.http_messages import Head, Refused, error_answer, whole_answer

_READERS: dict[str, Callable[[bytes], Asked]] = {
    "/v1/chat/completions": read_chat,
    "/v1/completions": read_completion,
    "/v1/embeddings": read_embedding,
}
_METHODS = dict.fromkeys(_READERS, "POST") | {"/tokenize": "POST", "/health": "GET", "/v1/models": "GET"}


def route(call: Call, pace: Pace, head: Head, body: bytes) -> Script:
    """The script for a request.

    Raises:
        Refused: there is no such path, or the body asks nothing that can be answered.
    """
    method = _METHODS.get(head.path)
    if method is None:
        raise Refused(404, f"there is nothing at {head.path!r}")
    if head.method != method:
        raise Refused(405, f"{head.path} takes {method}, not {head.method}")
    reader = _READERS.get(head.path)
    if reader is not None:
        call.asked = reader(body)
        return script_for(call, pace)
    if head.path == "/tokenize":
        document: dict[str, object] = tokenized(body)
    elif head.path == "/health":
        document = {}
    else:
        entry = {"id": pace.settings.model, "object": "model", "created": 0, "owned_by": "reference"}
        document = {"object": "list", "data": [entry]}
    return plain(call, whole_answer(msgspec.json.encode(document)), 200)


def refusal(call: Call, refused: Refused) -> Script:
    return plain(call, error_answer(refused.status, refused.message), refused.status)


def is_logged(call: Call) -> bool:
    """Health checks and the like would hide what was measured."""
    return call.asked is not None or (call.status or 0) >= 400
