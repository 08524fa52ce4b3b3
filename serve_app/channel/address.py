"""Where a caller listens for the streams of its calls, and how one proves to belong there.

The address travels in the handle call, which only replicas of the application receive. Its key never
leaves the two replicas: each side proves in the handshake that it knows it (HMAC-SHA-256 over both
sides' nonces), so neither a stranger who connects nor one who listens in our place gets anywhere.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field

from serve_app.channel.frames import VERSION
from serve_app.channel.joining import WAKE_UP_S

NONCE_BYTES = 32
KEY_BYTES = 32
PROOF_BYTES = hashlib.sha256().digest_size
_MAGIC = b"manta-channel"
HELLO_BYTES = len(_MAGIC) + 1 + NONCE_BYTES


@dataclass(frozen=True, slots=True)
class TlsEndpoint:
    """A listener that replicas of other nodes reach."""

    host: str
    port: int
    certificate_pem: str  # self-signed, of this listener alone: it is the only one that is trusted


@dataclass(frozen=True, slots=True)
class ChannelAddress:
    """One listener of one replica."""

    id: str  # names the listener, for the cache of connections and for logs
    node_id: str
    local_name: str  # of its abstract Unix socket, without the leading zero byte
    key: bytes = field(repr=False)
    tls: TlsEndpoint | None = None  # None: it is not listening for other nodes yet
    wake_up_s: float = WAKE_UP_S  # what a stream's news cost the replica: see `channel.joining`
    version: int = VERSION


@dataclass(frozen=True, slots=True)
class ReplyTo:
    """Which stream of which listener the answer of a call goes to."""

    address: ChannelAddress
    stream_id: int


def hello(nonce: bytes) -> bytes:
    """What both sides send first."""
    return _MAGIC + bytes([VERSION]) + nonce


def read_hello(data: bytes) -> tuple[int, bytes] | None:
    """(version, nonce) of the other side; None if it is no hello of ours."""
    if len(data) != HELLO_BYTES or not data.startswith(_MAGIC):
        return None
    at = len(_MAGIC)
    return data[at], data[at + 1 :]


def proof(key: bytes, role: str, own_nonce: bytes, other_nonce: bytes) -> bytes:
    """What only who knows the key can say; `role` keeps one side's proof from serving as the other's."""
    message = role.encode() + b"\0" + own_nonce + other_nonce
    return hmac.new(key, message, hashlib.sha256).digest()


def is_proof(given: bytes, key: bytes, role: str, own_nonce: bytes, other_nonce: bytes) -> bool:
    """In constant time."""
    return hmac.compare_digest(given, proof(key, role, own_nonce, other_nonce))
