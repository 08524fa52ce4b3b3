from __future__ import annotations

import pytest

from serve_app.errors import (
    BadRequest,
    BudgetSpent,
    DeadlineExceeded,
    EngineFailed,
    InputTooLong,
    LimitReached,
    MantaError,
    Overloaded,
    Unavailable,
)
from serve_app.tool_server.faults import ERROR_KEY, error_of, meta_of


@pytest.mark.parametrize(
    ("error", "becomes"),
    [
        (Overloaded("full", 3.0), Overloaded),
        (LimitReached("enough", 2.0), Overloaded),
        (Unavailable("away", 7.0), Unavailable),
        (DeadlineExceeded("late", "x"), DeadlineExceeded),
        (BadRequest("wrong", "query"), BadRequest),
        (EngineFailed("broke"), EngineFailed),
        (BudgetSpent("spent"), EngineFailed),
        (InputTooLong("long"), EngineFailed),
        (MantaError("internal"), EngineFailed),
    ],
)
def test_an_error_is_on_the_other_side_what_the_caller_does_about_it(
    error: MantaError, becomes: type[MantaError]
) -> None:
    back = error_of(meta_of(error), error.message, "the server")
    assert type(back) is becomes
    assert back.message == f"the server: {error.message}"
    if isinstance(error, Overloaded | Unavailable):
        assert back.retry_after_s == error.retry_after_s  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "meta",
    [
        None,
        {},
        {ERROR_KEY: "overloaded"},
        {ERROR_KEY: {"code": 7}},
        {ERROR_KEY: {"code": "engine_failed", "retry_after_s": 1}},
    ],
)
def test_what_is_not_understood_is_a_failure(meta: dict[str, object] | None) -> None:
    error = error_of(meta, "a\nb\u200b" + " x" * 1000, "the server")
    assert type(error) is EngineFailed
    assert error.message.startswith("the server: a b x x")
    assert len(error.message) < 400


@pytest.mark.parametrize("seconds", [-1, True, "9", None, float("nan")])
def test_a_wait_that_is_none_is_the_usual_one(seconds: object) -> None:
    error = error_of({ERROR_KEY: {"code": "overloaded", "retry_after_s": seconds}}, "full", "s")
    assert isinstance(error, Overloaded)
    assert error.retry_after_s == 1.0


def test_nobody_is_made_to_wait_for_ever() -> None:
    error = error_of({ERROR_KEY: {"code": "unavailable", "retry_after_s": 1e12}}, "gone", "s")
    assert isinstance(error, Unavailable)
    assert error.retry_after_s == 3600.0
