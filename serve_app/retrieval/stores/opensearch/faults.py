"""What OpenSearch's refusals mean for the caller: foreign errors become ours here, and nowhere else."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from serve_app.errors import MantaError, Overloaded, StorageFull, Unavailable

logger = logging.getLogger("manta.retrieval")

_MAX_REASON_CHARS = 300


class IndexGone(Unavailable):
    """The index, or its alias, is not there (any more)."""


class Refused(Unavailable):
    """The server understood, and will not do it; `status` and `type` are its own words for why."""

    def __init__(self, message: str, retry_after_s: float = 5.0, status: int = 0, type: str = "") -> None:  # noqa: A002
        super().__init__(message, retry_after_s)
        self.args = (message, retry_after_s, status, type)
        self.refused_status = status
        self.refused_type = type


def refusal(status: int, error: Any, what: str) -> MantaError:
    """The error for an answer of that status; `error` is the document's own `error`, whatever it is."""
    kind, reason = _cause(error)
    logger.warning("OpenSearch: %s: status %d %s: %s", what, status, kind, reason)
    if kind == "cluster_block_exception":
        return _blocked(reason)
    if kind in ("index_not_found_exception", "alias_not_found_exception"):
        return IndexGone("the knowledge base's index is not there; it is made anew at the next write")
    if status == 429:
        return Overloaded("the knowledge base's server has no room for this request", retry_after_s=2.0)
    if status in (401, 403):
        # Its reason is left out: it names users and roles.
        return Refused("the knowledge base's server refused the credentials", 5.0, status, kind)
    if status >= 500:
        return Unavailable(f"the knowledge base's server failed (status {status})")
    return Refused(f"the knowledge base's server refused {what}: {reason}", 5.0, status, kind)


def is_block(error: Any) -> bool:
    """Whether an answer of 429 says that the index takes no writes, which waiting does not change."""
    return _cause(error)[0] == "cluster_block_exception"


def _blocked(reason: str) -> MantaError:
    if "flood" in reason or "read-only-allow-delete" in reason:
        return StorageFull("the disk of the knowledge base's server is nearly full: it takes no writes")
    return Unavailable("the knowledge base's index is read-only: it is being rebuilt, or somebody made it so")


def _cause(error: Any) -> tuple[str, str]:
    """(type, reason) of an error document; the root's, where there is one."""
    if not isinstance(error, Mapping):
        return "", str(error)[:_MAX_REASON_CHARS]
    roots = error.get("root_cause")
    first = roots[0] if isinstance(roots, list) and roots and isinstance(roots[0], Mapping) else error
    caused = error.get("caused_by")
    reason = str(first.get("reason", ""))
    if isinstance(caused, Mapping) and caused.get("reason"):
        reason = f"{reason}: {caused['reason']}"
    return str(first.get("type", "")), " ".join(reason.split())[:_MAX_REASON_CHARS]
