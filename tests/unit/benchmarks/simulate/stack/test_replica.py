from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.records import Outcome
from benchmarks.simulate.stack.events import Events
from benchmarks.simulate.stack.replica import Replica, Request
from configs.simulation import ServiceModel

SERVICE = ServiceModel(
    overhead_ms=0.0,
    step_ms=10,
    step_us_per_running=1000,
    prefill_us_per_token=100,
    max_batched_tokens=30,
    max_running=3,
)
Asked = list[tuple[float, int, int]]  # (at_s, prompt, output)


def run(asked: Asked, service: ServiceModel = SERVICE) -> list[Request]:
    events = Events()
    replica = Replica("one", events, service, keep_token_times=True)
    requests = [Request(index, *one) for index, one in enumerate(asked)]
    for request in requests:
        request.on_end = _ended
        events.at(request.arrived_s, replica.accept, request)
    events.run()
    return requests


def _ended(request: Request) -> None:
    request.outcome = Outcome.OK


def step_by_step(asked: Asked, service: ServiceModel = SERVICE) -> list[list[float]]:
    """The same engine, one step after the other: slow and plain."""
    coming = deque(sorted(range(len(asked)), key=lambda index: (asked[index][0], index)))
    unread = {index: prompt for index, (_, prompt, _) in enumerate(asked)}
    left = {index: output for index, (_, _, output) in enumerate(asked)}
    tokens: list[list[float]] = [[] for _ in asked]
    waiting: deque[int] = deque()
    reading: list[int] = []
    running: list[int] = []
    now = 0.0
    while coming or waiting or reading or running:
        if not (waiting or reading or running):
            now = max(now, asked[coming[0]][0])
        while coming and asked[coming[0]][0] <= now:
            waiting.append(coming.popleft())
        while waiting and len(reading) + len(running) < service.max_running:
            reading.append(waiting.popleft())
        room = service.max_batched_tokens - len(running)
        num_read = 0
        for index in reading:
            chunk = min(unread[index], room - num_read)
            unread[index] -= chunk
            num_read += chunk
        now += (
            service.step_ms / 1e3
            + len(running) * service.step_us_per_running / 1e6
            + num_read * service.prefill_us_per_token / 1e6
        )
        done = []
        while reading and not unread[reading[0]]:
            done.append(reading.pop(0))
        for index in running + done:
            tokens[index].append(now)
            left[index] -= 1
        running = [index for index in running + done if left[index]]
    return tokens


def times(request: Request) -> list[float]:
    return request.token_times_s


def test_the_step_that_reads_the_prompt_makes_the_first_token() -> None:
    (alone,) = run([(1.0, 20, 3)])
    assert times(alone) == pytest.approx([1.012, 1.023, 1.034])
    assert (alone.first_s, alone.last_s) == pytest.approx((1.012, 1.034))


def test_a_long_prompt_is_read_in_chunks() -> None:
    (alone,) = run([(0.0, 70, 1)])
    assert times(alone) == pytest.approx([0.013 + 0.013 + 0.011])


def test_who_comes_during_a_step_waits_for_the_next() -> None:
    first, second = run([(0.0, 20, 10), (0.030, 10, 1)])
    # Steps of the first end at 12, 23, 34 ms; the next reads 10 tokens beside it.
    assert times(second) == pytest.approx([0.034 + 0.012])
    assert times(first)[3] == pytest.approx(0.046)


def test_beyond_the_batch_sequences_wait_for_a_place() -> None:
    *_, last = run([(0.0, 1, 5)] * 4)
    assert last.first_s is not None
    assert last.first_s > 5 * 0.010


# No two arrivals are a multiple of 0.1 ms apart, as all steps are, so that none falls on a step's end, where
# rounding would decide whether it is in the next step.
ARRIVALS = st.lists(
    st.tuples(
        st.integers(0, 2000).map(lambda ticks: ticks * 0.000251327),
        st.integers(1, 90),
        st.integers(1, 40),
    ),
    min_size=1,
    max_size=12,
    unique_by=lambda one: one[0],  # of two at the same time only the first is in an idle engine's next step
)


@given(ARRIVALS)
def test_spans_are_the_same_as_steps_one_by_one(asked: Asked) -> None:
    expected = step_by_step(asked)
    for request, tokens in zip(run(asked), expected, strict=True):
        assert times(request) == pytest.approx(tokens, abs=1e-9)
        assert request.first_s == pytest.approx(tokens[0], abs=1e-9)
        assert request.last_s == pytest.approx(tokens[-1], abs=1e-9)


def test_who_leaves_makes_the_others_faster_and_keeps_its_tokens() -> None:
    events = Events()
    replica = Replica("one", events, SERVICE, keep_token_times=False)
    leaver, stayer = Request(0, 0.0, 10, 1000), Request(1, 0.0, 10, 6)
    for request in (leaver, stayer):
        request.on_end = _ended
        replica.accept(request)

    def leave(_: None) -> None:
        leaver.outcome = Outcome.ABANDONED
        replica.drop(leaver)

    events.at(0.030, leave)  # steps end at 11 ms, 23 (both read by then), 35, ...
    events.run()
    assert leaver.num_made == 2
    assert replica.num_ongoing == 0
    assert stayer.num_made == 6
    # The step that runs at 30 ms is still one of two sequences, those after it are not.
    both, one = 0.012, 0.011
    assert stayer.first_s is not None
    assert stayer.last_s is not None
    assert stayer.last_s - stayer.first_s == pytest.approx(both + 4 * one)


@given(ARRIVALS, st.integers(0, 11), st.floats(0.0, 1.0))
def test_whoever_leaves_the_others_end(asked: Asked, who: int, when_s: float) -> None:
    events = Events()
    replica = Replica("one", events, SERVICE, keep_token_times=False)
    requests = [Request(index, *one) for index, one in enumerate(asked)]
    leaver = requests[who % len(requests)]
    for request in requests:
        request.on_end = _ended
        events.at(request.arrived_s, replica.accept, request)

    def leave(_: None) -> None:
        if leaver.outcome is None and leaver.replica is not None:
            leaver.outcome = Outcome.TIMEOUT
            replica.drop(leaver)

    events.at(when_s, leave)
    events.run()
    assert replica.num_ongoing == 0
    assert replica.requests() == []
    assert all(request.outcome is not None for request in requests)
    assert leaver.num_made <= leaver.num_output
