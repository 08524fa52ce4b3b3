from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.channel.address import ChannelAddress, ReplyTo
from serve_app.channel.asked import Asked, decode, encode
from serve_app.channel.frames import BadFrame, ask_of
from serve_app.messages import AgentQuestion, Deadline, Endpoint, Priority, RequestContext, SearchQuery

TO = ReplyTo(ChannelAddress("id", "node", "name", b"k" * 32), 7)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)  # fmt: skip


def context(seconds: float = 60.0) -> RequestContext:
    return RequestContext("r", "t", Deadline.after(seconds))


@given(
    st.sampled_from(Endpoint),
    st.dictionaries(TEXT, JSON, max_size=4),
    st.builds(
        RequestContext,
        request_id=TEXT,
        tenant=TEXT,
        deadline=st.just(Deadline.after(60.0)),
        priority=st.sampled_from(Priority),
        traceparent=st.none() | TEXT,
        weight=st.none() | st.floats(0.1, 100.0),
        session=st.none() | TEXT,
        is_again=st.booleans(),
    ),
)
def test_what_is_asked_for_arrives_as_it_was(
    endpoint: Endpoint, body: dict[str, Any], given_context: RequestContext
) -> None:
    payload = encode(Asked((endpoint, body), given_context, TO))
    assert payload is not None
    asked = decode(payload, TO)
    assert asked.args == (endpoint, body)
    assert json.dumps(asked.args[1]) == json.dumps(body)  # 1 is not 1.0, nor the order another
    assert asked.reply_to is TO
    for name in ("request_id", "tenant", "priority", "traceparent", "weight", "session", "is_again"):
        assert getattr(asked.context, name) == getattr(given_context, name)


@pytest.mark.parametrize(
    "args",
    [
        (AgentQuestion("a question"),),
        (
            AgentQuestion(
                "a question",
                ({"role": "user", "content": "before"},),
                4,
                {"source": ["a", "b"]},
                100,
                0.5,
                "user",
                "session",
                is_optimistic=True,
                may_pause=False,
            ),
        ),
    ],
)  # fmt: skip
def test_a_question_arrives_as_it_was(args: tuple[Any, ...]) -> None:
    payload = encode(Asked(args, context(), TO))
    assert payload is not None
    assert decode(payload, TO).args == args


def test_the_time_that_remains_travels() -> None:
    payload = encode(Asked((Endpoint.CHAT, {}), context(-3.0), TO))
    assert payload is not None
    assert -4.0 < decode(payload, TO).context.deadline.remaining_s() <= -3.0


@pytest.mark.parametrize(
    "args",
    [
        (SearchQuery("words"),),
        (AgentQuestion("half of a character: \ud800"),),
        (Endpoint.CHAT,),
        (Endpoint.CHAT, {"of no JSON": object()}),
        (Endpoint.CHAT, {"half of a character": "\ud800"}),
        (Endpoint.CHAT, {"long": "x" * (64 << 10)}),
    ],
)
def test_what_is_of_no_kind_or_cannot_be_written_is_not_written(args: tuple[Any, ...]) -> None:
    assert encode(Asked(args, context(), TO)) is None


def test_a_body_without_end_is_not_written() -> None:
    endless: dict[str, Any] = {}
    endless["again"] = endless
    assert encode(Asked((Endpoint.CHAT, endless), context(), TO)) is None


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{}",
        b"[]",
        b'["model"]',
        b'["no kind",["chat/completions",{}],"r","t",1.0,"interactive",null,null,null,false]',
        b'["model",["no endpoint",{}],"r","t",1.0,"interactive",null,null,null,false]',
        b'["model",["chat/completions",[]],"r","t",1.0,"interactive",null,null,null,false]',
        b'["model",["chat/completions",{}],"r","t","soon","interactive",null,null,null,false]',
        b'["agent",["chat/completions",{}],"r","t",1.0,"interactive",null,null,null,false]',
        b'["agent",[{"question":7}],"r","t",1.0,"interactive",null,null,null,false]',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_nonsense_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        decode(payload, TO)


def test_an_ask_that_names_no_call_is_refused() -> None:
    with pytest.raises(BadFrame):
        ask_of(b"abc")
