"""What is limited, what a request claims of it, and what keeps the counts.

Money is counted in whole nano-dollars: a token can cost less than a micro-dollar, and sums of floats drift.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol

NANO_PER_USD = 1_000_000_000


class Kind(StrEnum):
    """What a check counts."""

    REQUESTS = "requests"  # token bucket, one a request
    TOKENS = "tokens"  # token bucket, of the model's tokens
    CONCURRENT = "concurrent"  # leases
    DAY = "day"  # nano-dollars in a day (UTC)
    MONTH = "month"  # nano-dollars in a calendar month (UTC)

    @property
    def is_bucket(self) -> bool:
        return self is Kind.REQUESTS or self is Kind.TOKENS

    @property
    def is_money(self) -> bool:
        return self is Kind.DAY or self is Kind.MONTH


@dataclass(frozen=True, slots=True)
class Check:
    """One limit that a request has to pass."""

    kind: Kind
    # whose: "key:ID", "tenant:NAME", "model:NAME", "tenant:NAME model:NAME"; no name holds a blank, so none of them
    # can be taken for another
    scope: str
    limit: float  # per minute for buckets, requests under way, or nano-dollars in the period
    burst: float = 0.0  # what a bucket holds when it is full
    # What it counts by. Made once, of plain strings: a member of an enum takes longer to hash than all the rest.
    place: tuple[str, str] = field(init=False, repr=False, compare=False)
    # As its kind's: each request asks for them a hundred times.
    is_bucket: bool = field(init=False, repr=False, compare=False)
    is_money: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "place", (self.scope, self.kind.value))
        object.__setattr__(self, "is_bucket", self.kind.is_bucket)
        object.__setattr__(self, "is_money", self.kind.is_money)

    def share(self, num_shares: int) -> Check:
        """This limit, split among so many who cannot ask each other; never so far that nothing is left."""
        limit = self.limit / num_shares
        if self.kind is Kind.CONCURRENT:
            limit = max(1.0, float(int(limit)))
        least = 1.0 if self.kind is Kind.REQUESTS else 0.0
        return Check(self.kind, self.scope, limit, max(least, self.burst / num_shares))


@dataclass(frozen=True, slots=True)
class Claim:
    """What one request wants, by estimate."""

    lease_id: str
    lease_s: float  # after which its concurrency is free again, whatever became of it
    checks: tuple[Check, ...]
    num_tokens: int = 0
    nano_usd: int = 0
    num_requests: int = 1

    def takes(self, check: Check) -> float:
        """What is reserved of a limit. Never more than a full bucket: an estimate is as high as whoever asks makes it,
        and what a replica that was killed had reserved comes back by the refill alone."""
        if check.kind is Kind.TOKENS:
            return min(self.num_tokens, check.burst)
        if check.kind is Kind.REQUESTS:
            return min(self.num_requests, check.burst)
        return self.nano_usd if check.is_money else 1


class Standing(NamedTuple):
    """How a limit stands after a decision. A tuple: each request has a dozen."""

    check: Check
    remaining: float
    reset_s: float = 0.0  # until a bucket is full again


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a claim was admitted: all of it, or nothing."""

    standings: tuple[Standing, ...] = ()
    refused_by: Check | None = None
    retry_after_s: float = 0.0
    is_local: bool = False  # this replica decided alone, by its share, because nobody else could be asked

    @property
    def is_admitted(self) -> bool:
        return self.refused_by is None


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What somebody used of a model in a day."""

    day: str  # ISO 8601, UTC
    tenant: str
    who: str  # the id of the key, or the token's issuer and subject
    model: str
    num_requests: int = 0
    num_prompt_tokens: int = 0
    num_answer_tokens: int = 0
    nano_usd: int = 0

    def __add__(self, other: UsageRow) -> UsageRow:
        return UsageRow(
            self.day,
            self.tenant,
            self.who,
            self.model,
            self.num_requests + other.num_requests,
            self.num_prompt_tokens + other.num_prompt_tokens,
            self.num_answer_tokens + other.num_answer_tokens,
            self.nano_usd + other.nano_usd,
        )


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a claim really took. `usage.day` is filled in by who keeps the counts."""

    claim: Claim
    usage: UsageRow

    @property
    def num_tokens(self) -> int:
        return self.usage.num_prompt_tokens + self.usage.num_answer_tokens

    def correction(self, check: Check) -> float:
        """What is to be added to what was reserved of a limit; negative: given back."""
        if check.kind is Kind.TOKENS:
            return self.num_tokens - self.claim.takes(check)
        if check.kind is Kind.REQUESTS:
            return self.usage.num_requests - self.claim.takes(check)
        return self.usage.nano_usd - self.claim.takes(check) if check.is_money else 0


class LimitStore(Protocol):
    """Keeps the counts."""

    async def acquire(self, claim: Claim) -> Decision:
        """Take what is claimed, or nothing of it. One round trip where the store is elsewhere.

        Raises:
            Unavailable: the store cannot be reached. Whether anything was taken is not known; what was is
                freed by its lease and by the buckets' refill.
        """
        ...

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        """Replace what was reserved by what was used, end the leases, count the usage.

        Raises:
            Unavailable: the store cannot be reached.
        """
        ...

    async def usage(self, num_days: int) -> tuple[UsageRow, ...]:
        """What was used today and in the days before, so many in all, oldest first.

        Raises:
            Unavailable: the store cannot be reached.
        """
        ...

    async def save(self) -> None:
        """Make durable what was settled. To be called every second or so, and at the end."""
        ...

    async def close(self) -> None: ...
