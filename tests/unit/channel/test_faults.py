from __future__ import annotations

import pytest

from serve_app.channel.faults import decode_error, encode_error
from serve_app.errors import (
    BadRequest,
    DeadlineExceeded,
    EngineFailed,
    EngineRefused,
    InputTooLong,
    MantaError,
    Overloaded,
    StreamLost,
)


@pytest.mark.parametrize(
    "error",
    [
        BadRequest("no such field", "temperature"),
        InputTooLong("too long", "messages"),
        Overloaded("full", 2.5),
        DeadlineExceeded("over", "generate"),
        StreamLost("gone"),
        EngineRefused("no", 422, b'{"error": {"message": "no"}}'),
    ],
)
def test_an_error_of_our_tree_arrives_as_it_was(error: MantaError) -> None:
    arrived = decode_error(encode_error(error))
    assert type(arrived) is type(error)
    assert arrived.args == error.args
    assert vars(arrived) == vars(error)


def test_any_other_error_names_itself() -> None:
    arrived = decode_error(encode_error(KeyError("weights")))
    assert type(arrived) is EngineFailed
    assert "KeyError: 'weights'" in arrived.message


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff",
        b"{}",
        b"[]",
        b'["os.system", "x"]',
        b'["BadRequest"]',
        b"7",
        b'[["x"]]',
        b'["BadRequest", {"base64": 7}]',
    ],
)
def test_bytes_that_are_no_error_are_told_as_such(payload: bytes) -> None:
    arrived = decode_error(payload)
    assert type(arrived) is EngineFailed
    assert "not understood" in arrived.message
