from __future__ import annotations

import pytest

from serve_app.errors import EngineFailed
from serve_app.health.progress import Progress


def test_who_has_no_work_never_hangs(clock) -> None:
    progress = Progress("m", 10.0, clock)
    clock.now_s += 1e6
    progress.check()
    progress.begin()
    progress.rest()
    clock.now_s += 1e6
    progress.check()


def test_each_step_has_the_whole_time(clock) -> None:
    progress = Progress("m", 10.0, clock)
    for _ in range(5):
        progress.begin()
        clock.now_s += 9.0
        progress.check()


def test_a_step_that_takes_too_long_is_told_with_its_time(clock) -> None:
    progress = Progress("m", 10.0, clock)
    progress.begin()
    clock.now_s += 12.0
    with pytest.raises(EngineFailed, match="the engine of m hangs: a step takes 12 s, and 10 s is the limit"):
        progress.check()
