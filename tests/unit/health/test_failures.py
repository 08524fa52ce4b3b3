from __future__ import annotations

import pytest

from serve_app.errors import EngineFailed
from serve_app.health.failures import FailuresInRow


def test_failures_with_a_success_between_them_are_the_requests_own() -> None:
    failures = FailuresInRow("m", 3)
    for _ in range(4):
        failures.failed("nan")
        failures.failed("nan")
        failures.check()
        failures.succeeded()


def test_so_many_in_a_row_are_the_engines_until_one_succeeds() -> None:
    failures = FailuresInRow("m", 3)
    for reason in ("first", "second", "third"):
        failures.check()
        failures.failed(reason)
    with pytest.raises(EngineFailed, match="m failed 3 times in a row, the last time because: third"):
        failures.check()
    failures.succeeded()
    failures.check()
