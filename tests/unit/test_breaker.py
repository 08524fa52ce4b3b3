from __future__ import annotations

import pytest

from serve_app.breaker import Breaker
from serve_app.errors import Unavailable


def test_it_opens_after_faults_in_a_row_and_lets_one_try_after_a_while() -> None:
    now_s = [100.0]
    breaker = Breaker("the server", 2, 5.0, lambda: now_s[0])
    breaker.failed()
    breaker.succeeded()
    breaker.failed()
    breaker.check()
    breaker.failed()
    with pytest.raises(Unavailable, match=r"asked again in 5\.0 s") as refused:
        breaker.check()
    assert refused.value.retry_after_s == pytest.approx(5.0)
    now_s[0] += 5.0
    breaker.check()  # this one tries
    with pytest.raises(Unavailable):
        breaker.check()  # and the others wait for what becomes of it
    breaker.succeeded()
    breaker.check()
    breaker.check()


def test_a_failed_try_is_waited_out_again() -> None:
    now_s = [0.0]
    breaker = Breaker("the server", 1, 5.0, lambda: now_s[0])
    breaker.failed()
    now_s[0] += 6.0
    breaker.check()
    breaker.failed()
    now_s[0] += 4.0
    with pytest.raises(Unavailable):
        breaker.check()
