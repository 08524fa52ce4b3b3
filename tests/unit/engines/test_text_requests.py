from __future__ import annotations

from typing import Any

import pytest

from serve_app.engines.text_requests import read_request
from serve_app.errors import BadRequest
from serve_app.messages import Endpoint, JsonObject

ALL = frozenset(
    {
        "chat_template_kwargs",
        "logit_bias",
        "logprobs",
        "min_tokens",
        "repetition_penalty",
        "response_format",
        "tools",
    }
)
WEATHER: JsonObject = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"properties": {"city": {"type": "string"}}}},
}
NOW: JsonObject = {"type": "function", "function": {"name": "now"}}


def chat(**fields: Any) -> JsonObject:
    return {"model": "m", "messages": [{"role": "user", "content": "Hi"}]} | fields


def completion(**fields: Any) -> JsonObject:
    return {"model": "m", "prompt": "Hi"} | fields


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"guided_json": {}}, "guided_json"),
        ({"functions": [{}]}, "functions"),
        ({"modalities": ["audio"]}, "modalities"),
        ({"min_tokens": 3}, "min_tokens"),
        ({"repetition_penalty": 1.1}, "repetition_penalty"),
        ({"chat_template_kwargs": {"enable_thinking": False}}, "chat_template_kwargs"),
        ({"reasoning_effort": "low"}, "reasoning_effort"),
    ],
)
def test_what_nobody_knows_is_refused_by_name(fields: JsonObject, param: str) -> None:
    with pytest.raises(BadRequest, match="is not served by this model") as caught:
        read_request(Endpoint.CHAT, chat(**fields), frozenset())
    assert caught.value.param == param


def test_what_says_nothing_about_the_text_is_let_through() -> None:
    body = chat(
        user="u", store=False, metadata={"a": "b"}, service_tier="auto", min_tokens=0, logit_bias={}, tools=[]
    )
    _, generation = read_request(
        Endpoint.CHAT,
        body | {"repetition_penalty": 1.0, "modalities": ["text"], "guided_json": None},
        frozenset(),
    )
    assert generation.tools is None
    assert generation.sampling.logit_bias == ()


def test_tools_and_who_may_use_them() -> None:
    _, generation = read_request(Endpoint.CHAT, chat(tools=[WEATHER, NOW]), ALL)
    use = generation.tools
    assert use is not None
    assert [tool.name for tool in use.tools] == ["weather", "now"]
    assert use.tools[0].parameters == {"type": "object", "properties": {"city": {"type": "string"}}}
    assert use.tools[1].parameters["additionalProperties"] is False
    assert (use.is_required, use.is_parallel) == (False, True)

    body = chat(tools=[WEATHER, NOW], tool_choice="required", parallel_tool_calls=False)
    use = read_request(Endpoint.CHAT, body, ALL)[1].tools
    assert use is not None
    assert (use.is_required, use.is_parallel) == (True, False)

    named = {"type": "function", "function": {"name": "now"}}
    use = read_request(Endpoint.CHAT, chat(tools=[WEATHER, NOW], tool_choice=named), ALL)[1].tools
    assert use is not None
    assert [tool.name for tool in use.tools] == ["now"]
    assert (use.is_required, use.is_parallel) == (True, False)

    assert read_request(Endpoint.CHAT, chat(tools=[WEATHER], tool_choice="none"), ALL)[1].tools is None


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{"type": "custom", "custom": {}}]}, "tools.0.type"),
        ({"tools": [NOW, {"type": "function"}]}, "tools.1.function"),
        ({"tools": [{"type": "function", "function": {"name": 'a"b'}}]}, "tools.0.function.name"),
        ({"tools": [NOW, NOW]}, "tools.1.function.name"),
        (
            {"tools": [{"type": "function", "function": {"name": "a", "parameters": {"type": "array"}}}]},
            "tools.0.function.parameters",
        ),
        ({"tools": [NOW] * 129}, "tools"),
        ({"tools": [NOW], "tool_choice": "sometimes"}, "tool_choice"),
        ({"tools": [NOW], "tool_choice": {"type": "function", "function": {"name": "other"}}}, "tool_choice"),
        ({"tools": [NOW], "tool_choice": {"type": "allowed_tools"}}, "tool_choice"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"response_format": {"type": "xml"}}, "response_format"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": "x"}}}, "response_format"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"logit_bias": {"1": 101}}, "logit_bias.1"),
        ({"logit_bias": {"hello": 1}}, "logit_bias.hello"),
        ({"min_tokens": 5, "max_tokens": 4}, "min_tokens"),
        ({"repetition_penalty": 0}, "repetition_penalty"),
    ],
)
def test_faults_are_named(fields: JsonObject, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read_request(Endpoint.CHAT, chat(**fields), ALL)
    assert caught.value.param is not None
    assert caught.value.param == param


def test_formats_become_schemas() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    wrapped = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": False}}
    for endpoint, body in ((Endpoint.CHAT, chat()), (Endpoint.COMPLETIONS, completion())):
        read = [
            read_request(endpoint, body | {"response_format": given}, ALL)[1].schema
            for given in ({"type": "text"}, {"type": "json_object"}, wrapped)
        ]
        assert read == [None, {"type": "object"}, schema]


def test_sampling_beyond_the_common() -> None:
    body = chat(logit_bias={"7": -100, "8": 2}, logprobs=True, min_tokens=3, repetition_penalty=1.2)
    sampling = read_request(Endpoint.CHAT, body, ALL)[1].sampling
    assert sampling.logit_bias == ((7, -100.0), (8, 2.0))
    assert (sampling.top_logprobs, sampling.min_tokens, sampling.repetition_penalty) == (0, 3, 1.2)
    asked = [
        read_request(Endpoint.COMPLETIONS, completion(logprobs=num), ALL)[1].sampling.top_logprobs
        for num in (None, 0, 5)
    ]
    assert asked == [None, 0, 5]
