"""A group's requests: fallbacks, deadlines, headers, counts."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest

from configs.schema import GroupConfig, MemberConfig
from serve_app.errors import (
    BadRequest,
    DeadlineExceeded,
    EngineFailed,
    InputTooLong,
    MantaError,
    Overloaded,
    Unavailable,
)
from serve_app.routing.condition import Condition
from serve_app.routing.group import MODEL, MODEL_ID, ROUTE, Group

Make = Callable[..., Any]


class Counts:
    def __init__(self) -> None:
        self.all: Counter[tuple[str, ...]] = Counter()

    def __call__(self, metric: Any, amount: float = 1.0, **labels: str) -> None:
        self.all[(metric.name, *labels.values())] += int(amount)


def group(*members: str, fallbacks: tuple[str, ...] = (), count: Any = None, **more: Any) -> Group:
    config = GroupConfig(
        name="chat", members=tuple(MemberConfig(model=one) for one in members), fallbacks=fallbacks, **more
    )
    contexts: dict[str, int | None] = {"small": 100, "wide": 1000}
    known = {one: contexts.get(one) for one in (*members, *fallbacks)}
    return Group(config, known, *([count] if count else []), rng=random.Random(0))


async def test_a_member_answers_and_the_headers_say_who_and_why(
    models: Make, make_ask: Make, read: Make
) -> None:
    counts, made, ask = Counts(), models(a=[b"1", b"2"]), make_ask()
    assert await read(group("a", count=counts).frames(ask, made.source)) == [b"1", b"2"]
    assert ask.told == {MODEL: "a", ROUTE: "chat; only"}
    assert ask.served.model == "a"
    assert made.bodies[0]["model"] == "a"
    assert counts.all == {("route_requests_total", "chat", "a", "only"): 1}


@pytest.mark.parametrize(
    "error", [EngineFailed("x"), Unavailable("x"), Overloaded("x"), DeadlineExceeded("its own", "a")]
)
async def test_the_next_is_asked_where_it_may_do_better(
    models: Make, make_ask: Make, read: Make, error: MantaError
) -> None:
    counts, made, ask = Counts(), models(a=[error], b=[b"1"]), make_ask()
    assert await read(group("a", fallbacks=("b",), count=counts).frames(ask, made.source)) == [b"1"]
    assert ask.told == {MODEL: "b", ROUTE: f"chat; fallback; after={error.code}"}
    assert counts.all[("route_fallbacks_total", "chat", "a", error.code or "")] == 1


async def test_a_bad_request_is_bad_everywhere(models: Make, make_ask: Make, read: Make) -> None:
    made = models(a=[BadRequest("no")], b=[b"1"])
    with pytest.raises(BadRequest):
        await read(group("a", fallbacks=("b",)).frames(make_ask(), made.source))
    assert made.asked == ["a"]


async def test_nobody_is_asked_after_the_first_byte(models: Make, make_ask: Make) -> None:
    made = models(a=[b"1", EngineFailed("broke")], b=[b"2"])
    frames = group("a", fallbacks=("b",)).frames(make_ask(), made.source)
    assert await anext(frames) == b"1"
    with pytest.raises(EngineFailed, match="broke"):
        await anext(frames)
    assert made.asked == ["a"]


async def test_the_last_error_is_told(models: Make, make_ask: Make, read: Make) -> None:
    made = models(a=[EngineFailed("first")], b=[Unavailable("last")])
    with pytest.raises(Unavailable, match="last"):
        await read(group("a", fallbacks=("b",)).frames(make_ask(), made.source))


async def test_nobody_is_asked_past_the_deadline(models: Make, make_ask: Make, read: Make) -> None:
    made = models(a=[60.0], b=[b"1"])
    with pytest.raises(DeadlineExceeded):
        await read(group("a", fallbacks=("b",)).frames(make_ask(left_s=0.02), made.source))
    assert made.asked == ["a"]
    with pytest.raises(DeadlineExceeded):
        await read(group("a", fallbacks=("b",)).frames(make_ask(left_s=-1), made.source))
    assert made.asked == ["a"]


async def test_a_silent_member_is_left_for_the_next_one(models: Make, make_ask: Make, read: Make) -> None:
    made, ask = models(a=[600.0], b=[b"1"]), make_ask()
    one = group("a", fallbacks=("b",), first_byte_timeout_s=0.01)
    assert await read(one.frames(ask, made.source)) == [b"1"]
    assert ask.told[ROUTE] == "chat; fallback; after=deadline_exceeded"
    assert made.num_running == 0


async def test_a_prompt_that_is_too_long_goes_to_a_model_that_takes_more(
    models: Make, make_ask: Make, read: Make
) -> None:
    made = models(small=[InputTooLong("long")], wide=[b"1"])
    assert await read(group("small", fallbacks=("wide",)).frames(make_ask(), made.source)) == [b"1"]
    made = models(wide=[InputTooLong("long")], small=[b"1"])
    with pytest.raises(InputTooLong):
        await read(group("wide", fallbacks=("small",)).frames(make_ask(), made.source))
    assert made.asked == ["wide"]


async def test_refusals_are_passed_on_within_a_budget(models: Make, make_ask: Make, read: Make) -> None:
    made = models(a=[Overloaded("full")], b=[b"1"])
    one = group("a", fallbacks=("b",))
    refused = 0
    for _ in range(300):
        try:
            await read(one.frames(make_ask(), made.source))
        except Overloaded:
            refused += 1
    assert 200 < refused < 300
    assert made.asked.count("b") < 60


async def test_the_client_may_name_the_model(models: Make, make_ask: Make, read: Make) -> None:
    made, ask = models(a=[EngineFailed("x")], b=[b"1"]), make_ask(headers={MODEL_ID: "b"})
    one = group("a", fallbacks=("b",))
    assert await read(one.frames(ask, made.source)) == [b"1"]
    assert ask.told[ROUTE] == "chat; asked"
    with pytest.raises(EngineFailed):
        await read(one.frames(make_ask(headers={MODEL_ID: "a"}), made.source))
    assert made.asked == ["b", "a"]
    with pytest.raises(BadRequest, match="no model of chat: a, b"):
        one.frames(make_ask(headers={MODEL_ID: "c"}), made.source)


async def test_who_leaves_ends_the_work(models: Make, make_ask: Make) -> None:
    made = models(a=[b"1", 600.0])
    async with aclosing(group("a").frames(make_ask(), made.source)) as frames:
        assert await anext(frames) == b"1"
        assert made.num_running == 1
    assert made.num_running == 0
    waiting = asyncio.create_task(anext(group("b").frames(make_ask(), models(b=[600.0]).source)))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_member_that_fails_again_and_again_is_asked_last(
    models: Make, make_ask: Make, read: Make
) -> None:
    made = models(a=[EngineFailed("x")], b=[b"1"])
    one = group("a", "b", max_failures=2, cooldown_s=600)
    for _ in range(40):
        await read(one.frames(make_ask(), made.source))
    assert made.asked.count("a") == 2


async def test_an_answer_of_nothing_is_a_failure(models: Make, make_ask: Make, read: Make) -> None:
    made = models(a=[], b=[b"1"])
    assert await read(group("a", fallbacks=("b",)).frames(make_ask(), made.source)) == [b"1"]


def condition() -> Condition:
    return Condition(MemberConfig(model="a"), max_failures=2, cooldown_s=10)


def test_after_its_cooldown_one_request_tries_it() -> None:
    one = condition()
    one.failed(0)
    assert not one.member(0, is_stream=True).is_cooling
    one.failed(1)
    assert one.member(10.9, is_stream=True).is_cooling
    assert not one.member(11, is_stream=True).is_cooling
    one.begin(11)
    assert one.member(11, is_stream=True).is_cooling  # for the others
    one.answered(12, 1.0, is_stream=True)
    assert not one.member(12, is_stream=True).is_cooling


def test_a_slow_answer_counts_at_once_and_is_forgotten_bit_by_bit() -> None:
    one = condition()
    assert one.member(0, is_stream=True).latency_s is None
    one.answered(0, 0.1, is_stream=True)
    one.answered(0, 2.0, is_stream=True)
    assert one.member(0, is_stream=True).latency_s == 2.0
    assert one.member(0, is_stream=False).latency_s is None
    one.answered(1, 0.1, is_stream=True)
    assert 1.5 < (one.member(1, is_stream=True).latency_s or 0) < 2.0
    assert (one.member(100, is_stream=True).latency_s or 0) < 0.01
