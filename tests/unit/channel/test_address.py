from __future__ import annotations

import os
import pickle

from serve_app.channel.address import (
    HELLO_BYTES,
    NONCE_BYTES,
    PROOF_BYTES,
    ChannelAddress,
    hello,
    is_proof,
    proof,
    read_hello,
)
from serve_app.channel.frames import VERSION

KEY, OURS, THEIRS = (os.urandom(NONCE_BYTES) for _ in range(3))


def test_a_hello_says_the_version_and_the_nonce() -> None:
    greeting = hello(OURS)
    assert len(greeting) == HELLO_BYTES
    assert read_hello(greeting) == (VERSION, OURS)
    assert read_hello(b"GET / HTTP/1.1\r\n" + bytes(HELLO_BYTES - 16)) is None
    assert read_hello(greeting[:-1]) is None


def test_a_proof_holds_for_its_key_its_role_and_its_nonces_only() -> None:
    given = proof(KEY, "sender", OURS, THEIRS)
    assert len(given) == PROOF_BYTES
    assert is_proof(given, KEY, "sender", OURS, THEIRS)
    assert not is_proof(given, KEY, "caller", OURS, THEIRS)
    assert not is_proof(given, KEY, "sender", THEIRS, OURS)
    assert not is_proof(given, os.urandom(32), "sender", OURS, THEIRS)


def test_an_address_travels_by_pickle_and_never_prints_its_key() -> None:
    address = ChannelAddress("id", "node", "name", KEY)
    assert pickle.loads(pickle.dumps(address)) == address
    assert repr(KEY) not in repr(address)
    assert "key" not in repr(address)
