from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from configs.schema import MockModel
from serve_app.engines.mock_batch import Batch, Sequence


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)
        self.now_s += seconds
        # What the end of this step wakes runs before the next step's sleep.
        await asyncio.sleep(0)


MakeBatch = Callable[..., Batch]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(clock: Clock) -> MakeBatch:
    def build(**changes: object) -> Batch:
        settings = {"tpot_ms": 10, "tpot_us_per_running": 1000, "prefill_us_per_token": 100} | changes
        config = MockModel.model_validate({"name": "m", "engine": "mock"} | settings)
        return Batch(config, clock, clock.sleep)

    return build


async def token_times_ms(sequence: Sequence, clock: Clock) -> list[float]:
    times = []
    while sequence.num_left or sequence.num_ready:
        await sequence.next_token()
        times.append(round(clock() * 1000, 6))
    return times


async def test_the_step_that_reads_the_prompt_makes_the_first_token(make: MakeBatch, clock: Clock) -> None:
    # 10 ms and 20 tokens of 0.1 ms; then 10 ms and 1 ms for the one that runs.
    assert await token_times_ms(make().join(20, 3), clock) == [12, 23, 34]


async def test_each_running_sequence_delays_the_others(make: MakeBatch, clock: Clock) -> None:
    batch = make()
    both = [batch.join(20, 3), batch.join(20, 2)]
    times = await asyncio.gather(*(token_times_ms(sequence, clock) for sequence in both))
    assert times == [[14, 26, 37], [14, 26]]


async def test_a_long_prompt_is_read_in_chunks_while_others_get_tokens(make: MakeBatch, clock: Clock) -> None:
    batch = make(max_batched_tokens=101)
    both = [batch.join(1, 4), batch.join(200, 1)]
    short, long = await asyncio.gather(*(token_times_ms(sequence, clock) for sequence in both))
    # Step 1 reads the short prompt and 100 of the long one; step 2 runs the short beside the last 100.
    assert short == [20.1, 41.1, 52.1, 63.1]
    assert long == [41.1]


async def test_who_leaves_costs_nothing_more(make: MakeBatch, clock: Clock) -> None:
    batch = make()
    leaver, stayer = batch.join(20, 1000), batch.join(20, 4)
    times = asyncio.create_task(token_times_ms(stayer, clock))
    await leaver.next_token()
    batch.leave(leaver)
    batch.leave(leaver)
    first, second, third, fourth = await times
    assert first == 14
    assert fourth - third == third - second == pytest.approx(11)


async def test_steps_end_with_the_last_sequence_and_begin_again(make: MakeBatch, clock: Clock) -> None:
    batch = make()
    assert await token_times_ms(batch.join(20, 1), clock) == [12]
    await asyncio.sleep(0)
    assert await token_times_ms(batch.join(20, 1), clock) == [24]


async def test_closing_ends_the_steps(make: MakeBatch) -> None:
    batch = make()
    batch.join(20, 1_000_000)
    await batch.close()
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
