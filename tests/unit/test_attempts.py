from __future__ import annotations

from collections.abc import AsyncGenerator, Callable

import pytest

from serve_app.admission.retries import RetryBudget
from serve_app.attempts import MAX_ATTEMPTS, Attempts
from serve_app.errors import BadRequest, EngineFailed, MantaError, Overloaded, StreamLost
from serve_app.openai_api.responses import DONE, TextShape

Stream = Callable[[], AsyncGenerator[bytes]]
SHAPE = TextShape("id", "mock", 1, is_chat=True)
ANSWER = [SHAPE.opening(), *(SHAPE.delta(word) for word in ("to ", "be ", "or ")), SHAPE.finish("stop"), DONE]


def attempts() -> Attempts:
    return Attempts("mock")


class Replicas:
    """One after the other: each sends so many frames, then its error."""

    def __init__(self, *ends: tuple[int, MantaError | None], frames: list[bytes] = ANSWER) -> None:
        self._ends = list(ends)
        self._frames = frames
        self.num_asked = 0
        self.num_closed = 0

    async def __call__(self) -> AsyncGenerator[bytes]:
        self.num_asked += 1
        num_frames, error = self._ends.pop(0)
        try:
            for frame in self._frames[:num_frames]:
                yield frame
            if error is not None:
                raise error
        finally:
            self.num_closed += 1


async def read(stream: AsyncGenerator[bytes]) -> tuple[list[bytes], MantaError | None]:
    frames: list[bytes] = []
    try:
        async for frame in stream:
            frames.append(frame)  # noqa: PERF401 (what came before an error counts)
    except MantaError as exc:
        return frames, exc
    return frames, None


LOST = StreamLost("gone")
WHOLE = (len(ANSWER), None)


@pytest.mark.parametrize("error", [LOST, Overloaded("full")])
async def test_a_stream_of_which_nothing_came_is_asked_for_again(error: MantaError) -> None:
    replicas = Replicas((0, error), WHOLE)
    assert await read(attempts().stream(replicas)) == (ANSWER, None)


async def test_a_stream_that_has_begun_is_not() -> None:
    replicas = Replicas((2, LOST), WHOLE)
    assert await read(attempts().stream(replicas)) == (ANSWER[:2], LOST)
    assert replicas.num_asked == 1


async def test_one_that_can_be_made_again_is_continued_where_it_was_cut() -> None:
    replicas = Replicas((2, LOST), (4, LOST), WHOLE)
    frames, error = await read(attempts().stream(replicas, may_continue=True))
    assert error is None
    assert b"".join(frames) == b"".join(ANSWER)
    assert replicas.num_closed == replicas.num_asked == 3


async def test_one_that_is_lost_again_and_again_is_told_in_the_end() -> None:
    replicas = Replicas(*[(2, LOST)] * 9)
    _, error = await read(attempts().stream(replicas, may_continue=True))
    assert error is LOST
    assert replicas.num_asked == MAX_ATTEMPTS


@pytest.mark.parametrize("error", [EngineFailed("out of memory"), BadRequest("no", "seed")])
async def test_a_fault_that_would_come_again_is_not_asked_for_again(error: MantaError) -> None:
    replicas = Replicas((0, error), WHOLE)
    assert await read(attempts().stream(replicas, may_continue=True)) == ([], error)
    assert replicas.num_asked == 1


async def test_replicas_that_are_full_are_not_asked_round() -> None:
    full = Overloaded("full")
    replicas = Replicas(*[(0, full)] * 9)
    assert await read(attempts().stream(replicas)) == ([], full)
    assert replicas.num_asked == 2


@pytest.mark.parametrize("error", [LOST, Overloaded("full")])
async def test_an_outage_is_not_made_worse_by_retries(error: MantaError) -> None:
    budget = RetryBudget(ratio=0.1, min_retries_per_s=0.0, clock=lambda: 0.0)
    shared = Attempts("mock", refusals=budget) if error is not LOST else Attempts("mock", losses=budget)
    num_asked = 0
    for _ in range(100):
        replicas = Replicas(*[(0, error)] * 9)
        await read(shared.stream(replicas))
        num_asked += replicas.num_asked
    assert 100 < num_asked <= 110


async def test_all_streams_of_a_lost_replica_are_continued_however_few_there_were_before() -> None:
    shared = Attempts("mock")
    for _ in range(64):
        frames, error = await read(shared.stream(Replicas((2, LOST), WHOLE), may_continue=True))
        assert error is None
        assert b"".join(frames) == b"".join(ANSWER)


async def test_a_reader_that_leaves_closes_the_attempt() -> None:
    replicas = Replicas(WHOLE)
    stream = attempts().stream(replicas)
    await anext(stream)
    await stream.aclose()
    assert replicas.num_closed == 1


async def test_a_call_is_made_again_when_its_replica_went_away() -> None:
    outcomes: list[Exception | str] = [LOST, "answer"]

    async def ask() -> str:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    assert await attempts().result(ask) == "answer"
