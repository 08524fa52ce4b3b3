"""Who may ask, as the rest of the application sees them, and what keeps their keys.

Knows nothing of HTTP, files or Redis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal, Protocol

from configs.schema import LimitsConfig


class Role(IntEnum):
    """What somebody may do; each may all that those before may."""

    USER = 1  # models, the agent, the own tenant's knowledge base and usage
    OPERATOR = 2  # metrics, everybody's usage
    ADMIN = 3  # speak for any tenant

    @classmethod
    def named(cls, name: str) -> Role:
        return cls[name.upper()]


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody whom we know."""

    kind: Literal["key", "token", "gateway", "anonymous"]
    id: str  # a key's id, ISSUER#SUBJECT, or the kind
    tenant: str | None  # None: whichever the request names
    role: Role = Role.USER
    limits: LimitsConfig | None = None  # its own; None: those that the configuration has for its kind

    @property
    def may_choose_tenant(self) -> bool:
        return self.tenant is None or self.role >= Role.ADMIN


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What is stored of an API key: enough to check it, and not the key.

    Times are Unix seconds: keys outlive processes.
    """

    id: str  # the part of the key that may be shown
    name: str  # what it is for, in its maker's words
    tenant: str
    role: Role
    salt: bytes = field(repr=False)
    digest: bytes = field(repr=False)  # SHA-256 of salt and secret
    created_at_s: float
    expires_at_s: float | None = None
    revoked_at_s: float | None = None
    limits: LimitsConfig | None = None


@dataclass(frozen=True, slots=True)
class KeyChanges:
    """Records that were written since a generation, and the generation that holds them all."""

    generation: int
    records: tuple[KeyRecord, ...]


class KeyStore(Protocol):
    """Keeps the records. Many read; writes are few, and each is there for good when its call returns."""

    async def put(self, record: KeyRecord) -> None:
        """Add a record, or replace the one with that id.

        Raises:
            Unavailable: the store cannot be reached; nothing is said about whether it was written.
        """
        ...

    async def changes(self, since: int) -> KeyChanges:
        """What was written after generation `since`, each record once, as it is now; 0: everything.

        Raises:
            Unavailable: the store cannot be reached.
        """
        ...

    async def close(self) -> None:
        """Let go of what it holds."""
        ...


async def all_records(store: KeyStore) -> Sequence[KeyRecord]:
    """Every record, oldest first."""
    found = await store.changes(0)
    return sorted(found.records, key=lambda record: (record.created_at_s, record.id))
