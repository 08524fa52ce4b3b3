"""Names of documents and chunks: hashes of what they are, so that the same input gives the same id.

Parts are length-prefixed before hashing: ("ab", "c") and ("a", "bc") are different things.
"""

from __future__ import annotations

import hashlib

_DIGEST_BYTES = 16  # 128 bits, 32 hex digits: no collision to expect below 10^18 chunks


def digest(*parts: str) -> str:
    """32 hex digits of these parts, in this order."""
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(8))
        digest.update(data)
    return digest.hexdigest()


def document_id(tenant: str, source: str, path: str) -> str:
    return digest("document", tenant, source, path)


def chunk_hash(embedded_text: str) -> str:
    """The same for all chunks whose embedded text is the same, whatever document they stand in."""
    return digest("text", embedded_text)


def chunk_id(tenant: str, source: str, path: str, text_hash: str, ordinal: int) -> str:
    return digest("chunk", tenant, source, path, text_hash, str(ordinal))


def is_unicode(text: str) -> bool:
    """Whether a text can be stored. JSON can spell half of a surrogate pair, which is no character."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)
