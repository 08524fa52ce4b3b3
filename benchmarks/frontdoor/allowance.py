"""What limits and shares allow, and how far off what was given is. Pure, from records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.records import Outcome, Record


@dataclass(frozen=True, slots=True)
class Bucket:
    """A token bucket: what passes in `seconds` of more load than it lets through is burst + rate * seconds.

    Args:
        what: "requests" or "tokens".
    """

    what: str
    per_min: float
    burst: float

    def allowed(self, seconds: float) -> float:
        return self.burst + self.per_min / 60.0 * seconds

    def amount(self, record: Record) -> int:
        """What a request that was admitted took of it."""
        if self.what == "requests":
            return 1
        return (record.num_prompt_tokens or 0) + (record.num_output_tokens or 0)


def admitted(bucket: Bucket, records: Sequence[Record]) -> dict[str, Any]:
    """What was admitted of all that arrived, and what was allowed from the first arrival to the last one.

    `off` is relative to what is allowed; positive: too much.
    """
    arrivals_s = [record.intended_ns / 1e9 for record in records]
    seconds = max(arrivals_s) - min(arrivals_s)
    passed = [record for record in records if record.outcome is Outcome.OK]
    refused = [record for record in records if record.outcome is Outcome.REFUSED]
    taken = sum(bucket.amount(record) for record in passed)
    allowed = bucket.allowed(seconds)
    return {
        "limit": bucket.what,
        "per_min": bucket.per_min,
        "burst": bucket.burst,
        "seconds": round(seconds, 3),
        "num_offered": len(records),
        "num_passed": len(passed),
        "num_refused": len(refused),
        "num_failed": len(records) - len(passed) - len(refused),
        "taken": taken,
        "allowed": round(allowed, 2),
        "off": round(taken / allowed - 1.0, 5),
    }


def held_s(record: Record, ttft_ms: float, from_s: float, to_s: float) -> float:
    """How long a stream held its slot of the engine within a window: from `ttft_ms` before its first token, which
    is what the engine takes for that one, to its last."""
    if record.first_token_ns is None:
        return 0.0
    begin_s = record.first_token_ns / 1e9 - ttft_ms / 1e3
    end_s = (record.last_token_ns or record.first_token_ns) / 1e9
    return max(0.0, min(end_s, to_s) - max(begin_s, from_s))


def shares(held: Mapping[str, float], weights: Mapping[str, float]) -> list[dict[str, Any]]:
    """Of each tenant: its part of all slot time, what its weight says that it should be, and how far it is off."""
    total, total_weight = sum(held.values()), sum(weights.values())
    rows = []
    for tenant, seconds in held.items():
        due = weights[tenant] / total_weight
        share = seconds / total if total else 0.0
        rows.append(
            {
                "tenant": tenant,
                "weight": weights[tenant],
                "held_s": round(seconds, 2),
                "share": round(share, 5),
                "due": round(due, 5),
                "off": round(share / due - 1.0, 5),
            }
        )
    return rows
