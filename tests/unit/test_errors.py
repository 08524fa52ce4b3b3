from __future__ import annotations

import pickle
from collections.abc import Iterator

import pytest

from serve_app.errors import (
    BadRequest,
    ConfigError,
    DeadlineExceeded,
    EngineRefused,
    InputTooLong,
    MantaError,
    Overloaded,
    Unavailable,
)
from serve_app.openai_api.responses import error_body

FULL = {
    BadRequest: BadRequest("wrong", "messages.0.role"),
    InputTooLong: InputTooLong("too long", "input"),
    Overloaded: Overloaded("full", 7.5),
    Unavailable: Unavailable("gone", 9.0),
    EngineRefused: EngineRefused("no", 422, b"{}"),
    DeadlineExceeded: DeadlineExceeded("late", "retrieve"),
}


def tree(cls: type[MantaError] = MantaError) -> Iterator[type[MantaError]]:
    yield cls
    for child in cls.__subclasses__():
        if child.__module__ == MantaError.__module__:  # Ray makes classes of its own below ours
            yield from tree(child)


@pytest.mark.parametrize("cls", sorted(set(tree()), key=lambda cls: cls.__name__))
def test_every_error_survives_the_way_between_replicas(cls: type[MantaError]) -> None:
    error = FULL.get(cls, cls("something broke"))
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is cls
    assert vars(copy) == vars(error)
    assert str(copy) == error.message


@pytest.mark.parametrize("cls", sorted(set(tree()) - {ConfigError}, key=lambda cls: cls.__name__))
def test_every_error_has_an_http_status_and_an_openai_body(cls: type[MantaError]) -> None:
    assert 400 <= cls.status < 600
    assert (cls.type == "invalid_request_error") == (cls.status < 500 and cls.status != 429)
    body = error_body(FULL.get(cls, cls("something broke")))["error"]
    assert body["code"] == cls.code
    assert body["message"]


def test_the_body_names_the_field_at_fault() -> None:
    assert error_body(FULL[BadRequest])["error"]["param"] == "messages.0.role"
    assert error_body(FULL[DeadlineExceeded])["error"]["stage"] == "retrieve"
