"""Small first, large when a signal says so."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from configs.schema import CascadeConfig, GroupConfig
from serve_app.errors import BadRequest, EngineFailed, Unavailable
from serve_app.routing.base import Why
from serve_app.routing.cascade import Cascade
from serve_app.routing.group import MODEL, ROUTE, Group
from serve_app.routing.signals import hard_because, is_yes, mean_logprob, token_logprobs

Make = Callable[..., Any]
DONE = b"data: [DONE]\n\n"


def cascade(fallbacks: tuple[str, ...] = (), **more: Any) -> Cascade:
    config = CascadeConfig(small="small", large="large", **more)
    group = GroupConfig(name="chat", cascade=config, fallbacks=fallbacks)
    contexts = dict.fromkeys(("small", "large", "judge", *fallbacks))
    return Cascade(config, Group(group, contexts, rng=random.Random(0)), fallbacks)


def document(text: str, *logprobs: float) -> bytes:
    told = {"content": [{"token": "x", "logprob": one} for one in logprobs]}
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": 7, "completion_tokens": 3}
    return json.dumps({"choices": [{"message": message, "logprobs": told}], "usage": usage}).encode()


def say(text: str) -> bytes:
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode()


async def test_without_signals_on_answers_the_small_one_streams(
    models: Make, make_ask: Make, read: Make
) -> None:
    made, ask = models(small=[b"1", b"2"], large=[b"3"]), make_ask()
    assert await read(cascade().frames(ask, made.source)) == [b"1", b"2"]
    assert ask.told == {MODEL: "small", ROUTE: "chat; small"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("x" * 5000, Why.LENGTH),
        ("why does this fail?\n```\nprint(1)\n```", Why.CODE),
        ("def f(x):\n    return x", Why.CODE),
        ("SELECT name FROM users;", Why.CODE),
        ("What is a manta ray?", None),
        ("Import duties rose; why?", None),
        ("Compare rays: size, age (in years), and diet.", None),
    ],
)
async def test_what_is_hard_goes_to_the_large_one_at_once(
    models: Make, make_ask: Make, read: Make, text: str, why: Why | None
) -> None:
    body = {"messages": [{"role": "user", "content": text}]}
    assert hard_because(body, CascadeConfig(small="a", large="b")) is why
    made, ask = models(small=[b"s"], large=[b"l"]), make_ask(body)
    assert await read(cascade().frames(ask, made.source)) == ([b"s"] if why is None else [b"l"])
    assert ask.told[ROUTE] == f"chat; {why or 'small'}"


async def test_a_sure_answer_is_sent_without_what_nobody_asked_for(
    models: Make, make_ask: Make, read: Make
) -> None:
    made, ask = models(small=[document("yes", -0.1, -0.3)], large=[b"l"]), make_ask(is_stream=False)
    [frame] = await read(cascade(min_mean_logprob=-0.25).frames(ask, made.source))
    assert json.loads(frame)["choices"][0]["message"]["content"] == "yes"
    assert json.loads(frame)["choices"][0]["logprobs"] is None
    assert made.bodies[0]["logprobs"] is True
    assert ask.served.discarded == []


async def test_an_unsure_answer_is_thrown_away_and_paid_for(models: Make, make_ask: Make, read: Make) -> None:
    made, ask = models(small=[document("hm", -2.0)], large=[b"l"]), make_ask(is_stream=False)
    assert await read(cascade(min_mean_logprob=-0.25).frames(ask, made.source)) == [b"l"]
    assert ask.told == {MODEL: "large", ROUTE: "chat; logprobs"}
    assert ask.served.discarded == [("small", 7, 3)]
    assert "logprobs" not in made.bodies[1]


async def test_what_the_client_asked_for_stays(models: Make, make_ask: Make, read: Make) -> None:
    made, ask = models(small=[document("yes", -0.1)]), make_ask({"logprobs": True}, is_stream=False)
    [frame] = await read(cascade(min_mean_logprob=-0.25).frames(ask, made.source))
    assert json.loads(frame)["choices"][0]["logprobs"]["content"][0]["logprob"] == -0.1


async def test_a_stream_is_held_back_no_longer_than_it_takes_to_decide(
    models: Make, make_ask: Make, chunk: Make
) -> None:
    frames = [chunk("a", -0.1), chunk("b", -0.1), chunk("c", -9.0), DONE]
    made, ask = models(small=[*frames[:2], 0.0, *frames[2:]], large=[b"l"]), make_ask()
    stream = cascade(min_mean_logprob=-0.25, decide_after_tokens=2).frames(ask, made.source)
    first = await anext(stream)
    assert made.num_running == 1  # it goes on
    rest = [frame async for frame in stream]
    texts = [json.loads(one[6:])["choices"][0]["delta"]["content"] for one in (first, *rest[:-1])]
    assert texts == ["a", "b", "c"]
    assert rest[-1] == DONE


async def test_an_unsure_beginning_ends_the_small_one(
    models: Make, make_ask: Make, read: Make, chunk: Make
) -> None:
    made, ask = models(small=[chunk("a", -3.0), 600.0], large=[b"l"]), make_ask()
    one = cascade(min_mean_logprob=-0.25, decide_after_tokens=1)
    assert await read(one.frames(ask, made.source)) == [b"l"]
    assert made.num_running == 0
    assert ask.served.discarded == [("small", 0, 1)]


async def test_a_short_stream_is_decided_at_its_end(
    models: Make, make_ask: Make, read: Make, chunk: Make
) -> None:
    made = models(small=[chunk("a", -0.1), DONE], large=[b"l"])
    one = cascade(min_mean_logprob=-0.25, decide_after_tokens=8)
    assert len(await read(one.frames(make_ask(), made.source))) == 2


@pytest.mark.parametrize(
    ("said", "expected"), [("YES", "small"), ("no.", "large"), ("maybe", "large"), ("", "large")]
)
async def test_the_judge_has_the_last_word(
    models: Make, make_ask: Make, read: Make, said: str, expected: str
) -> None:
    made, ask = (
        models(small=[document("s")], large=[document("l")], judge=[say(said)]),
        make_ask(is_stream=False),
    )
    await read(cascade(judge="judge").frames(ask, made.source))
    assert ask.told[MODEL] == expected
    assert "<answer>\ns\n</answer>" in made.bodies[1]["messages"][1]["content"]


async def test_a_judge_that_fails_or_is_late_is_no_yes(models: Make, make_ask: Make, read: Make) -> None:
    for said in (Unavailable("gone"), 600.0):
        made, ask = models(small=[document("s")], large=[b"l"], judge=[said]), make_ask(is_stream=False)
        one = cascade(judge="judge", judge_timeout_s=0.01)
        assert await read(one.frames(ask, made.source)) == [b"l"]


async def test_where_the_small_one_fails_the_large_one_answers(
    models: Make, make_ask: Make, read: Make
) -> None:
    for more in ({}, {"min_mean_logprob": -0.2}):
        made, ask = models(small=[EngineFailed("x")], large=[b"l"]), make_ask()
        assert await read(cascade(**more).frames(ask, made.source)) == [b"l"]
        assert ask.told == {MODEL: "large", ROUTE: "chat; fallback; after=engine_failed"}


async def test_a_small_model_without_logprobs_says_so(models: Make, make_ask: Make, read: Make) -> None:
    made = models(small=[BadRequest("logprobs is not served", "logprobs")], large=[b"l"])
    with pytest.raises(BadRequest, match="logprobs"):
        await read(cascade(min_mean_logprob=-0.2).frames(make_ask(), made.source))


async def test_where_the_large_one_fails_the_small_answer_is_better_than_none(
    models: Make, make_ask: Make, read: Make
) -> None:
    made, ask = models(small=[document("s", -5.0)], large=[Unavailable("gone")]), make_ask(is_stream=False)
    [frame] = await read(cascade(min_mean_logprob=-0.2).frames(ask, made.source))
    assert json.loads(frame)["choices"][0]["message"]["content"] == "s"
    assert ask.told == {MODEL: "small", ROUTE: "chat; fallback; after=logprobs"}


def test_signals_read_both_shapes() -> None:
    assert token_logprobs({"logprobs": {"token_logprobs": [None, -1.0, -2.0]}}) == [-1.0, -2.0]
    assert token_logprobs({"logprobs": {"content": [{"logprob": -1}]}}) == [-1.0]
    assert token_logprobs({}) == []
    assert mean_logprob([]) is None
    assert mean_logprob([-1.0, -3.0, -50.0], 2) == -2.0
    assert not is_yes(b"nonsense")
    assert is_yes(say("**Yes**, it is."))
