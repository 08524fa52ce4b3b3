"""A key's record as JSON, for the stores that keep it."""

from __future__ import annotations

import json
from typing import Any

from configs.schema import LimitsConfig
from serve_app.identity.base import KeyRecord, Role


def encode_record(record: KeyRecord) -> str:
    document = {
        "id": record.id,
        "name": record.name,
        "tenant": record.tenant,
        "role": record.role.name.lower(),
        "salt": record.salt.hex(),
        "digest": record.digest.hex(),
        "created_at_s": record.created_at_s,
        "expires_at_s": record.expires_at_s,
        "revoked_at_s": record.revoked_at_s,
        "limits": None if record.limits is None else record.limits.model_dump(exclude_none=True),
    }
    return json.dumps(document)


def decode_record(text: str | bytes) -> KeyRecord:
    """Raises ValueError, KeyError or TypeError if it is no record: somebody else wrote it."""
    document: dict[str, Any] = json.loads(text)
    limits = document["limits"]
    return KeyRecord(
        id=document["id"],
        name=document["name"],
        tenant=document["tenant"],
        role=Role.named(document["role"]),
        salt=bytes.fromhex(document["salt"]),
        digest=bytes.fromhex(document["digest"]),
        created_at_s=document["created_at_s"],
        expires_at_s=document["expires_at_s"],
        revoked_at_s=document["revoked_at_s"],
        limits=None if limits is None else LimitsConfig.model_validate(limits),
    )
