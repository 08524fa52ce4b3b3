"""What is given again, what is not, and what is computed once."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.schema import AnswerCacheConfig, SemanticCacheConfig
from serve_app.answer_cache.cache import AnswerCache
from serve_app.answer_cache.embedded import EmbeddedAnswers
from serve_app.errors import BadRequest, DeadlineExceeded, EngineFailed, Unavailable
from serve_app.front.base import Ask
from serve_app.messages import Deadline, RequestContext

CACHE = "x-manta-cache"
Make = Callable[..., Any]


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


async def embed(text: str, context: RequestContext) -> np.ndarray:
    """Texts of the same words, in any order, are the same."""
    vector = np.zeros(64, np.float32)
    for word in text.lower().strip("?").split():
        vector[sum(word.encode()) % 64] += 1
    return vector / np.linalg.norm(vector)


def cache(clock: Clock | None = None, store: Any = None, **more: Any) -> AnswerCache:
    clock = clock or Clock()
    parts = {name: more.pop(name) for name in ("agents", "embed", "generation", "count") if name in more}
    return AnswerCache(
        AnswerCacheConfig(**more), store or EmbeddedAnswers(10_000_000, 100, clock), clock=clock, **parts
    )


def semantic(**more: Any) -> AnswerCache:
    more = {"threshold": 0.9, "by_default": True} | more
    return cache(embed=embed, semantic=SemanticCacheConfig(**more))


async def read(one: AnswerCache, ask: Ask, model: Any) -> bytes:
    return b"".join([frame async for frame in one.frames(ask, model.source)])


@pytest.mark.parametrize("is_stream", [False, True])
async def test_the_same_request_is_computed_once(model: Any, make_ask: Make, *, is_stream: bool) -> None:
    one, first, again = cache(), make_ask(is_stream=is_stream), make_ask(is_stream=is_stream)
    answer = await read(one, first, model)
    frames = [frame async for frame in one.frames(again, model.source)]
    assert b"".join(frames) == answer
    assert len(frames) == (4 if is_stream else 1)
    assert (first.told[CACHE], again.told[CACHE]) == ("miss", "hit")
    assert again.told["x-manta-model"] == "member"
    assert (first.served.is_free, again.served.is_free) == (False, True)
    assert len(model.asked) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"text": "What is an eel?"},
        {"tenant": "u"},
        {"name": "other"},
        {"max_tokens": 5},
        {"is_stream": True},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"headers": {"x_model_id": "big"}},
    ],
)
async def test_what_changes_an_answer_is_another_request(
    model: Any, make_ask: Make, other: dict[str, Any]
) -> None:
    one, ask = cache(), make_ask(**other)
    await read(one, make_ask(), model)
    await read(one, ask, model)
    assert ask.told[CACHE] == "miss"


async def test_what_changes_no_answer_is_not(model: Any, make_ask: Make) -> None:
    one = cache()
    await read(one, make_ask(), model)
    for same in ({"user": "u"}, {"stop": None}, {"temperature": 0.0}, {"metadata": {"a": "b"}}):
        ask = make_ask(**same)
        await read(one, ask, model)
        assert ask.told[CACHE] == "hit"


async def test_what_is_drawn_is_not_kept_unless_asked_for(model: Any, make_ask: Make) -> None:
    one = cache()
    for _ in range(2):
        ask = make_ask(temperature=0.7)
        await read(one, ask, model)
        assert ask.told[CACHE] == "bypass"
    for expected in ("miss", "hit"):
        ask = make_ask(temperature=0.7, headers={CACHE: "exact"})
        await read(one, ask, model)
        assert ask.told[CACHE] == expected
    for one, body in (
        (cache(only_deterministic=False), {"temperature": 0.7}),
        (cache(), {"temperature": 1, "seed": 3}),
    ):
        await read(one, make_ask(**body), model)
        ask = make_ask(**body)
        await read(one, ask, model)
        assert ask.told[CACHE] == "hit"


@pytest.mark.parametrize(
    "headers", [{"cache_control": "no-store"}, {CACHE: "off"}, {"cache_control": "x, No-Store"}]
)
async def test_no_store_is_honoured(model: Any, make_ask: Make, headers: dict[str, str]) -> None:
    one = cache()
    await read(one, make_ask(), model)
    ask = make_ask(headers=headers)
    await read(one, ask, model)
    assert ask.told[CACHE] == "bypass"
    await read(one, make_ask("other", headers=headers), model)
    ask = make_ask("other")
    await read(one, ask, model)
    assert ask.told[CACHE] == "miss"
    assert len(one._flights) == 0


async def test_no_cache_renews_and_max_age_is_honoured(model: Any, make_ask: Make) -> None:
    clock = Clock()
    one = cache(clock)
    old = await read(one, make_ask(), model)
    clock.now_s += 100
    aged = make_ask(headers={"cache_control": "max-age=200"})
    assert await read(one, aged, model) == old
    new = await read(one, make_ask(headers={"cache_control": "no-cache"}), model)
    assert new != old
    assert await read(one, make_ask(), model) == new
    clock.now_s += 100
    assert await read(one, make_ask(headers={"cache_control": "max-age=50"}), model) not in (old, new)


async def test_answers_are_kept_for_their_time(model: Any, make_ask: Make) -> None:
    clock = Clock()
    one = cache(clock, ttl_s=60)
    await read(one, make_ask(), model)
    clock.now_s += 60
    ask = make_ask()
    await read(one, ask, model)
    assert ask.told[CACHE] == "miss"


async def test_a_wish_that_nobody_understands_is_refused(model: Any, make_ask: Make) -> None:
    with pytest.raises(BadRequest, match="off, exact, semantic"):
        await read(cache(), make_ask(headers={CACHE: "always"}), model)


@pytest.mark.parametrize("how", ["error", "cut", "filtered", "late error"])
async def test_only_whole_answers_are_kept(model: Any, make_ask: Make, events: Make, how: str) -> None:
    one = cache()
    model.frames = {
        "error": [EngineFailed("x")],
        "cut": events("a")[:-1],
        "filtered": [one.replace(b'"stop"', b'"content_filter"') for one in events("a")],
        "late error": [*events("a")[:1], EngineFailed("x")],
    }[how]
    if "error" in how:
        with pytest.raises(EngineFailed):
            await read(one, make_ask(is_stream=True), model)
    else:
        await read(one, make_ask(is_stream=True), model)
    model.frames = None
    ask = make_ask(is_stream=True)
    await read(one, ask, model)
    assert ask.told[CACHE] == "miss"


async def test_a_long_answer_is_not_kept(model: Any, make_ask: Make, document: Make) -> None:
    one = cache(max_answer_bytes=1024)
    model.frames = [document("x" * 2000)]
    await read(one, make_ask(), model)
    ask = make_ask()
    await read(one, ask, model)
    assert ask.told[CACHE] == "miss"


class GoneStore:
    async def get(self, *args: Any) -> Any:
        raise Unavailable("gone")

    put = nearest = get

    async def close(self) -> None: ...


async def test_without_its_store_the_model_answers(model: Any, make_ask: Make) -> None:
    counted: Counter[str] = Counter()
    one = cache(store=GoneStore(), count=lambda metric, amount=1.0, **labels: counted.update([metric.name]))
    for _ in range(2):
        ask = make_ask()
        await read(one, ask, model)
        assert ask.told[CACHE] == "miss"
    assert counted["answer_cache_errors_total"] >= 2


# ---------------------------------------------------------------- by meaning


async def test_a_question_of_the_same_meaning_is_a_hit_with_its_score(model: Any, make_ask: Make) -> None:
    one = semantic()
    answer = await read(one, make_ask("how do rays swim"), model)
    ask = make_ask("how do swim rays")
    assert await read(one, ask, model) == answer
    assert ask.told[CACHE] == "semantic; score=1.000"


@pytest.mark.parametrize(
    ("kept", "asked", "other"),
    [
        ("how far is 5 km", "how far is km 6", {}),
        ("can rays see", "can rays not see", {}),
        ("how do rays swim", "how do rays swim", {"tenant": "u"}),
        (
            "how do rays swim",
            "how do swim rays",
            {"tools": [{"type": "function", "function": {"name": "f"}}]},
        ),
        ("how do rays swim", "how do swim rays", {"name": "other"}),
    ],
)
async def test_near_is_not_the_same(
    model: Any, make_ask: Make, kept: str, asked: str, other: dict[str, Any]
) -> None:
    one = semantic(threshold=0.5)
    await read(one, make_ask(kept), model)
    ask = make_ask(asked, **other)
    await read(one, ask, model)
    assert ask.told[CACHE] == "miss"


async def test_another_system_prompt_is_another_scope(model: Any, make_ask: Make) -> None:
    one = semantic()

    def ask(system: str, text: str) -> Ask:
        turns = [{"role": "system", "content": system}, {"role": "user", "content": text}]
        asked: Ask = make_ask(messages=turns)
        return asked

    await read(one, ask("be brief", "how do rays swim"), model)
    same, other = ask("be brief", "how do swim rays"), ask("be long", "how do swim rays")
    await read(one, other, model)
    await read(one, same, model)
    assert same.told[CACHE].startswith("semantic")
    assert other.told[CACHE] == "miss"


async def test_meaning_is_asked_for_or_configured(model: Any, make_ask: Make) -> None:
    one = semantic(by_default=False)
    wanted = {CACHE: "semantic"}
    await read(one, make_ask("how do rays swim", headers=wanted), model)
    plain, asked = make_ask("how do swim rays"), make_ask("swim how do rays", headers=wanted)
    await read(one, plain, model)
    await read(one, asked, model)
    assert plain.told[CACHE] == "miss"
    assert asked.told[CACHE].startswith("semantic")


async def test_without_its_embedder_the_model_answers(model: Any, make_ask: Make) -> None:
    async def late(text: str, context: RequestContext) -> Any:
        await asyncio.sleep(600)

    async def gone(text: str, context: RequestContext) -> Any:
        raise Unavailable("gone")

    for broken in (late, gone):
        one = cache(embed=broken, semantic=SemanticCacheConfig(by_default=True, timeout_s=0.01))
        ask = make_ask()
        await read(one, ask, model)
        assert ask.told[CACHE] == "miss"


# ---------------------------------------------------------------- agents


def final(**more: Any) -> bytes:
    manta = {"outcome": "answered", "flags": ["unevaluated"], "run": [{"state": "retrieve", "ms": 1}]} | more
    return json.dumps({"choices": [{"finish_reason": "stop"}], "manta": manta}).encode()


async def test_an_agents_answer_goes_when_the_documents_change(model: Any, make_ask: Make) -> None:
    generations = {"t": "1"}

    async def generation(context: RequestContext) -> str:
        return generations[context.tenant]

    one = cache(agents=("manta",), generation=generation)
    model.frames = [final()]
    told = []
    for now in ("1", "1", "2", "2"):
        generations["t"] = now
        ask = make_ask(name="manta")
        del ask.body["temperature"]
        await read(one, ask, model)
        told.append(ask.told[CACHE])
    assert told == ["miss", "hit", "miss", "hit"]


@pytest.mark.parametrize(
    "what",
    [
        {"outcome": "abstained"},
        {"flags": ["deadline"]},
        {"run": [{"state": "web", "ms": 1}]},
        {"flags": ["kb_unavailable"]},
    ],
)
async def test_a_lesser_answer_of_an_agent_is_not_kept(
    model: Any, make_ask: Make, what: dict[str, Any]
) -> None:
    async def generation(context: RequestContext) -> str:
        return "1"

    one = cache(agents=("manta",), generation=generation)
    model.frames = [final(**what)]
    for _ in range(2):
        ask = make_ask(name="manta")
        await read(one, ask, model)
        assert ask.told[CACHE] == "miss"


async def test_documents_that_change_meanwhile_keep_the_answer_out(model: Any, make_ask: Make) -> None:
    generations = iter(["1", "2", "1"])

    async def generation(context: RequestContext) -> str:
        return next(generations)

    one = cache(agents=("manta",), generation=generation)
    model.frames = [final()]
    await read(one, make_ask(name="manta"), model)
    assert not one._store._kept


async def test_a_session_is_nobody_elses(model: Any, make_ask: Make) -> None:
    one = cache()
    for _ in range(2):
        ask = make_ask(session="s")
        await read(one, ask, model)
        assert ask.told[CACHE] == "bypass"


# ---------------------------------------------------------------- at the same time


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_the_same_at_the_same_time_is_computed_once(model: Any, make_ask: Make) -> None:
    one, asks = cache(), [make_ask(is_stream=True) for _ in range(5)]
    model.go.clear()
    tasks = [asyncio.create_task(read(one, ask, model)) for ask in asks]
    await settle()
    model.go.set()
    assert len(set(await asyncio.gather(*tasks))) == 1
    assert len(model.asked) == 1
    assert [ask.told[CACHE] for ask in asks] == ["miss"] + ["miss; shared"] * 4
    assert [ask.served.is_free for ask in asks] == [False] + [True] * 4
    assert {ask.told["x-manta-model"] for ask in asks} == {"member"}


async def test_the_work_goes_on_as_long_as_anybody_waits(model: Any, make_ask: Make) -> None:
    one = cache()
    model.go.clear()
    first, second, third = (asyncio.create_task(read(one, make_ask(), model)) for _ in range(3))
    await settle()
    first.cancel()
    second.cancel()
    await settle()
    assert model.num_running == 1
    model.go.set()
    assert b"t 1" in await third
    ask = make_ask()
    await read(one, ask, model)
    assert ask.told[CACHE] == "hit"


async def test_when_the_last_one_leaves_the_work_stops(model: Any, make_ask: Make) -> None:
    one = cache()
    model.go.clear()
    tasks = [asyncio.create_task(read(one, make_ask(), model)) for _ in range(3)]
    await settle()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert model.num_running == 0
    assert len(one._flights) == 0


async def test_who_comes_in_the_middle_of_a_stream_gets_it_from_its_beginning(
    model: Any, make_ask: Make
) -> None:
    one = cache()
    async with aclosing(one.frames(make_ask(is_stream=True), model.source)) as early:
        begun = [await anext(early)]
        async with aclosing(one.frames(make_ask(is_stream=True), model.source)) as late:
            first = await anext(late)
            assert first == begun[0]
            rest = [frame async for frame in late]
        begun += [frame async for frame in early]
    assert [first, *rest] == begun
    assert len(model.asked) == 1


async def test_an_error_is_everybodys(model: Any, make_ask: Make) -> None:
    one = cache()
    model.frames = [EngineFailed("broke")]
    model.go.clear()
    tasks = [asyncio.create_task(read(one, make_ask(), model)) for _ in range(3)]
    await settle()
    model.go.set()
    errors = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(error) for error in errors] == ["broke"] * 3
    assert len({id(error) for error in errors}) == 3


async def test_another_ones_deadline_is_not_mine(model: Any, make_ask: Make) -> None:
    one = cache()
    model.frames = [DeadlineExceeded("late")]
    model.go.clear()
    hasty = asyncio.create_task(read(one, make_ask(), model))
    await settle()
    patient = asyncio.create_task(read(one, make_ask(), model))
    await settle()
    model.go.set()
    with pytest.raises(DeadlineExceeded):
        await hasty
    with pytest.raises(DeadlineExceeded):  # of its own attempt
        await patient
    assert len(model.asked) == 2


# ---------------------------------------------------------------- tenants


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", 'a","b', "a\x1fb", ""]),
            st.sampled_from(["x", "y", "x y", "y x"]),
            st.sampled_from(["exact", "semantic"]),
            st.booleans(),
        ),
        max_size=40,
    )
)
def test_no_tenant_ever_gets_what_another_ones_request_made(
    requests: list[tuple[str, str, str, bool]],
) -> None:
    async def run() -> None:
        one = semantic(threshold=0.1)
        made_for: dict[bytes, str] = {}  # answer -> whose request made it

        async def source(ask: Ask) -> AsyncGenerator[bytes]:
            number = b"%d" % len(made_for)
            made_for[number] = ask.context.tenant
            frame = b'{"choices":[{"finish_reason":"stop"}],"id":' + number + b"}"
            yield b"data: " + frame + b"\n\ndata: [DONE]\n\n" if ask.is_stream else frame

        for tenant, text, mode, is_stream in requests:
            ask = new_ask(text, tenant, mode, is_stream=is_stream)
            answer = b"".join([frame async for frame in one.frames(ask, source)])
            number = answer.split(b'"id":')[1].split(b"}")[0]
            assert made_for[number] == tenant

    asyncio.run(run())


def new_ask(text: str, tenant: str, mode: str, *, is_stream: bool) -> Ask:
    body = {"model": "m", "messages": [{"role": "user", "content": text}], "stream": is_stream}
    context = RequestContext("r", tenant, Deadline.after(600))
    return Ask("m", "chat/completions", body, context, is_stream, {CACHE: mode})
