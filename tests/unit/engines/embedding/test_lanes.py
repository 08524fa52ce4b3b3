from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from serve_app.engines.embedding.base import Encoder, Tokens
from serve_app.engines.embedding.lanes import MAX_LANE_TOKENS, Lanes
from serve_app.engines.embedding.steps import Request, Steps
from serve_app.errors import EngineFailed
from serve_app.health.failures import FailuresInRow
from serve_app.health.progress import Progress
from serve_app.messages import Deadline, Vectors

TIMEOUT_S = 30


class CountingEncoder:
    """A step a text; a text's vector is its length."""

    dim = 1

    def __init__(
        self, before: Callable[[Sequence[Tokens]], None] = lambda _: None, max_tokens: int = 256
    ) -> None:
        self.max_tokens = max_tokens
        self.num_closed = 0
        self._before = before

    def plan(self, lengths: Sequence[int], num_lanes: int = 1) -> list[list[int]]:
        return [[index] for index in range(len(lengths))]

    def encode(self, texts: Sequence[Tokens]) -> Vectors:
        self._before(texts)
        return np.asarray([[len(tokens)] for tokens in texts], np.float32)

    def close(self) -> None:
        self.num_closed += 1


def test_a_lone_step_has_all_threads() -> None:
    wide, lane = CountingEncoder(), CountingEncoder()
    lanes = Lanes(wide, [lane, lane])
    used: list[Encoder] = []
    lanes.run(["step"], lambda encoder, _: used.append(encoder))
    assert used == [wide]
    lanes.close()


def test_one_thread_needs_no_lanes() -> None:
    wide = CountingEncoder()
    lanes = Lanes.of(lambda _: wide, 1)
    used: list[Encoder] = []
    lanes.run([1, 2, 3], lambda encoder, _: used.append(encoder))
    assert used == [wide] * 3
    lanes.close()


def test_texts_that_need_much_memory_get_no_lanes() -> None:
    opened: list[int] = []

    def open_with(num_threads: int) -> CountingEncoder:
        opened.append(num_threads)
        return CountingEncoder(max_tokens=MAX_LANE_TOKENS + 1)

    Lanes.of(open_with, 4).close()
    assert opened == [4]


def test_steps_run_side_by_side() -> None:
    lanes = Lanes.of(lambda _: CountingEncoder(), 3)
    together = threading.Barrier(3)
    used: list[Encoder] = []

    def work(encoder: Encoder, _: int) -> None:
        together.wait(TIMEOUT_S)  # nobody passes before three are here
        used.append(encoder)

    lanes.run(range(6), work)
    assert len(used) == 6
    assert len(set(used)) == 3
    lanes.close()


def test_what_a_lane_raises_is_raised_and_lanes_work_on() -> None:
    lanes = Lanes.of(lambda _: CountingEncoder(), 2)
    both_run = threading.Barrier(2)
    done: list[int] = []

    def work(_: Encoder, step: int) -> None:
        both_run.wait(TIMEOUT_S)
        if step == 1:
            raise MemoryError("no room")
        done.append(step)

    with pytest.raises(MemoryError, match="no room"):
        lanes.run([0, 1], work)
    lanes.run([2, 3], work)
    assert sorted(done) == [0, 2, 3]
    lanes.close()


def test_an_encoder_of_several_lanes_is_closed_once() -> None:
    wide, lane = CountingEncoder(), CountingEncoder()
    Lanes(wide, [lane, lane]).close()
    assert (wide.num_closed, lane.num_closed) == (1, 1)


class Asking:
    """Requests of an event loop to steps with two lanes."""

    def __init__(self, before: Callable[[Sequence[Tokens]], None]) -> None:
        self.failures = FailuresInRow("embedder", 5)
        self._steps = Steps(
            Lanes.of(lambda _: CountingEncoder(before), 2),
            1000,
            Progress("embedder", TIMEOUT_S),
            self.failures,
        )

    def request(self, *lengths: int) -> Request:
        loop = asyncio.get_running_loop()
        tokens = [np.zeros(length, np.int32) for length in lengths]
        vectors = np.zeros((len(lengths), 1), np.float32)
        return Request(tokens, vectors, Deadline.after(TIMEOUT_S), loop, loop.create_future())

    async def work(self, waiting: list[Request]) -> None:
        await asyncio.to_thread(self._steps.work, waiting)


async def test_a_request_is_answered_while_the_others_of_its_window_are_still_worked_on() -> None:
    is_answered = threading.Event()
    asking = Asking(lambda texts: None if len(texts[0]) < 9 else _require(is_answered.wait(TIMEOUT_S)))
    short, long = asking.request(1, 2), asking.request(9)
    waiting = [short, long]
    working = asyncio.create_task(asking.work(waiting))
    await asyncio.wait_for(short.future, TIMEOUT_S)
    assert not long.future.done()
    is_answered.set()
    await working
    await long.future
    assert waiting == []
    assert np.all(short.vectors == 1.0)  # their directions


async def test_a_failing_step_fails_its_request_and_no_other() -> None:
    def before(texts: Sequence[Tokens]) -> None:
        if len(texts[0]) == 2:
            raise EngineFailed("broken")

    asking = Asking(before)
    bad, good = asking.request(2, 1, 2), asking.request(3)
    waiting = [bad, good]
    await asking.work(waiting)
    await good.future
    with pytest.raises(EngineFailed, match="broken"):
        await bad.future
    assert waiting == []


def _require(condition: bool) -> None:
    assert condition
