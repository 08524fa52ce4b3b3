from __future__ import annotations

import pytest

from serve_app.engines.vllm.liveness import QUIET_S, Liveness
from serve_app.errors import EngineFailed


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_silence_while_requests_run_is_a_hang() -> None:
    clock = Clock()
    life = Liveness("chat", 60.0, clock)
    clock.now_s += 1000
    life.check()  # nobody asked anything
    life.begin()
    clock.now_s += 61
    with pytest.raises(EngineFailed, match="hangs: 1 requests run, and nothing has moved for 61 s"):
        life.check()


def test_bytes_and_counters_are_signs_of_life() -> None:
    clock = Clock()
    life = Liveness("chat", 60.0, clock)
    life.begin()
    life.count(7.0)
    for _ in range(5):
        clock.now_s += 50
        life.hear()
        life.check()
    clock.now_s += 50
    life.count(8.0)
    clock.now_s += 50
    life.check()
    life.count(8.0)  # as before: no sign
    clock.now_s += 11
    with pytest.raises(EngineFailed):
        life.check()


def test_counters_are_read_only_when_work_is_quiet() -> None:
    clock = Clock()
    life = Liveness("chat", 60.0, clock)
    clock.now_s += 1000
    assert not life.is_quiet
    life.begin()
    assert not life.is_quiet
    clock.now_s += QUIET_S + 1
    assert life.is_quiet
    life.end()
    assert not life.is_quiet


def test_a_second_request_gives_a_hung_engine_no_more_time() -> None:
    clock = Clock()
    life = Liveness("chat", 60.0, clock)
    life.begin()
    clock.now_s += 59
    life.begin()
    clock.now_s += 2
    with pytest.raises(EngineFailed, match="2 requests"):
        life.check()
