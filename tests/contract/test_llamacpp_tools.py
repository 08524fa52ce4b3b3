"""Tool calls and reasoning on the real engine: the toy model calls nothing by itself, so it is pushed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from llguidance import LLMatcher

from configs.schema import FileWeights, LlamaCppModel
from serve_app.engines.base import Tool, ToolUse
from serve_app.engines.dialects.answers import answer_grammar
from serve_app.engines.dialects.base import Dialect, Markers
from serve_app.engines.dialects.hermes import Hermes
from serve_app.engines.dialects.llama3 import Llama3
from serve_app.engines.dialects.reasoning import Thinking
from serve_app.engines.llamacpp.chat import open_llamacpp_chat
from serve_app.engines.llamacpp.grammar import Grammars
from serve_app.engines.llamacpp.library import Model
from serve_app.engines.text_edge import TextEdge
from serve_app.errors import BadRequest
from serve_app.messages import Endpoint, JsonObject, RequestContext
from serve_app.openai_api.sse import SseReader

# As models of these families have them, shorter.
HERMES = """
{%- if tools %}Tools: {% for tool in tools %}{{ tool | tojson }} {% endfor %}
Answer <tool_call>{\\"name\\": <name>, \\"arguments\\": <arguments>}</tool_call>
{% endif %}
{%- for message in messages %}{{ message.role }}: {{ message.content }}
{%- for call in message.tool_calls or [] %}<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>{% endfor %}
{% endfor %}assistant: """
LLAMA3 = """<|start_header_id|>
{%- if tools is not none %}{% for tool in tools %}{{ tool | tojson }}{% endfor %} Use "parameters".{% endif %}
{%- for message in messages %}{{ message.content }}
{% endfor %}"""
THINKING = (
    HERMES
    + "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n"
    + "{% else %}<think>\n{% endif %}"
)
PASTING = HERMES.replace(" | tojson }}}", " }}}").replace(
    "{{ call.function.arguments }}", "{{ call.function.arguments ~ '' }}"
)

CITY: JsonObject = {
    "type": "object",
    "properties": {
        "city": {"enum": ["Paris", "Rome"]},
        "days": {"type": "integer", "minimum": 1, "maximum": 5},
    },
    "required": ["city", "days"],
    "additionalProperties": False,
}
WEATHER: JsonObject = {
    "type": "function",
    "function": {"name": "weather", "description": "x", "parameters": CITY},
}
NOW: JsonObject = {"type": "function", "function": {"name": "now"}}
QUESTION: JsonObject = {"role": "user", "content": "Once upon a time"}


@pytest.fixture
def opened(stories_with_template: Any, tmp_path: Path) -> Any:
    @asynccontextmanager
    async def open_it(
        template: str, control: Mapping[int, str] = {}, **changes: Any
    ) -> AsyncIterator[TextEdge]:
        config = LlamaCppModel(
            name="stories",
            engine="llamacpp",
            weights=FileWeights(path=str(stories_with_template(template, control))),
            context_tokens=2048,
            **changes,
        )
        engine = TextEdge(open_llamacpp_chat(config, tmp_path, 1))
        yield engine
        await engine.close()

    return open_it


def body(**fields: Any) -> JsonObject:
    return {
        "model": "m",
        "messages": [QUESTION],
        "tools": [WEATHER, NOW],
        "max_tokens": 300,
        "temperature": 0,
    } | fields


async def choice(engine: TextEdge, asked: JsonObject, context: RequestContext) -> Any:
    return json.loads(await engine.respond(Endpoint.CHAT, asked, context))["choices"][0]


async def deltas(engine: TextEdge, asked: JsonObject, context: RequestContext) -> tuple[list[Any], str]:
    frames = [frame async for frame in engine.stream(Endpoint.CHAT, asked | {"stream": True}, context)]
    found = [
        json.loads(data)["choices"][0] for data in SseReader().feed(b"".join(frames)) if data != "[DONE]"
    ]
    return [one["delta"] for one in found], found[-1]["finish_reason"]


def check_calls(calls: list[Any], names: set[str]) -> None:
    assert calls
    assert len({call["id"] for call in calls}) == len(calls)
    for call in calls:
        assert call["type"] == "function"
        assert call["function"]["name"] in names
        arguments = json.loads(call["function"]["arguments"])
        if call["function"]["name"] == "weather":
            assert set(arguments) == {"city", "days"}
            assert 1 <= arguments["days"] <= 5
        else:
            assert arguments == {}


FAMILIES = pytest.mark.parametrize(
    ("template", "control"),
    [
        (HERMES, {}),
        (HERMES, {500: "<tool_call>", 501: "</tool_call>"}),
        (LLAMA3, {}),
        (LLAMA3, {500: "<|python_tag|>"}),
    ],
    ids=["hermes", "hermes with control tokens", "llama3", "llama3 with control tokens"],
)


@FAMILIES
async def test_a_required_call_is_made_and_right(
    opened: Any, template: str, control: dict[int, str], context: RequestContext
) -> None:
    async with opened(template, control) as engine:
        for fields in ({"temperature": 0}, {"temperature": 2, "seed": 1}, {"temperature": 2, "seed": 2}):
            asked = body(tool_choice="required", parallel_tool_calls=False, **fields)
            made = await choice(engine, asked, context)
            assert made["finish_reason"] == "tool_calls"
            assert made["message"]["content"] is None
            assert len(made["message"]["tool_calls"]) == 1
            check_calls(made["message"]["tool_calls"], {"weather", "now"})
        named = body(tool_choice={"type": "function", "function": {"name": "weather"}})
        check_calls((await choice(engine, named, context))["message"]["tool_calls"], {"weather"})


@FAMILIES
async def test_a_stream_makes_the_same_calls(
    opened: Any, template: str, control: dict[int, str], context: RequestContext
) -> None:
    async with opened(template, control, reproducible=True) as engine:
        asked = body(tool_choice="required", parallel_tool_calls=False)
        whole = (await choice(engine, asked, context))["message"]["tool_calls"]
        parts, finish = await deltas(engine, asked, context)
        assert finish == "tool_calls"
        calls = [call for part in parts for call in part.get("tool_calls") or []]
        assert [call.pop("index") for call in calls] == list(range(len(calls)))
        assert [call["function"] for call in calls] == [call["function"] for call in whole]
        assert "".join(part.get("content") or "" for part in parts) == ""


async def test_text_may_come_instead_of_a_call(opened: Any, context: RequestContext) -> None:
    for template in (HERMES, LLAMA3):
        async with opened(template) as engine:
            made = await choice(engine, body(max_tokens=20), context)
            assert made["message"]["content"].strip()
            assert "tool_calls" not in made["message"]
            assert made["finish_reason"] == "length"


async def test_several_calls_in_one_answer(opened: Any, context: RequestContext) -> None:
    """A bias for the marker makes the model call for as long as it is allowed to."""
    async with opened(HERMES, {500: "<tool_call>", 501: "</tool_call>"}) as engine:
        asked = body(logit_bias={"500": 60}, max_tokens=250)
        made = await choice(engine, asked, context)
        assert made["finish_reason"] == "length"
        assert len(made["message"]["tool_calls"]) > 1
        check_calls(made["message"]["tool_calls"], {"weather", "now"})
        made = await choice(engine, asked | {"parallel_tool_calls": False}, context)
        assert len(made["message"]["tool_calls"]) == 1


async def test_a_call_that_max_tokens_cut_is_none(opened: Any, context: RequestContext) -> None:
    async with opened(HERMES) as engine:
        made = await choice(engine, body(tool_choice="required", max_tokens=12), context)
        assert made["finish_reason"] == "length"
        assert "tool_calls" not in made["message"]
        assert made["message"]["content"].startswith("<tool_call>")


def heard_prompts(engine: TextEdge, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    heard: list[str] = []
    model: Model = engine._generator._model  # type: ignore[attr-defined]
    tokenize = model.tokenize

    def listen(text: str, *, add_special: bool, parse_special: bool) -> Any:
        heard.append(text)
        return tokenize(text, add_special=add_special, parse_special=parse_special)

    monkeypatch.setattr(model, "tokenize", listen)
    return heard


async def test_conversations_with_calls_go_to_the_template(
    opened: Any, context: RequestContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "now", "arguments": '{"zone": "Zürich"}'}}
    turns = [
        QUESTION,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "12:30"},
    ]
    for template in (HERMES, PASTING):
        async with opened(template) as engine:
            rendered = heard_prompts(engine, monkeypatch)
            await choice(engine, body(messages=turns, max_tokens=1), context)
            assert '{"name": "now", "arguments": {"zone": "Zürich"}}' in rendered[0]
            assert "tool: 12:30" in rendered[0]
            assert '"name": "weather"' in rendered[0]
            broken = [
                QUESTION,
                turns[1] | {"tool_calls": [call | {"function": {"name": "a", "arguments": "{"}}]},
            ]
            if template == HERMES:
                with pytest.raises(BadRequest, match=r"tool_calls\.0\.function\.arguments: is no JSON"):
                    await choice(engine, body(messages=broken), context)


async def test_who_cannot_use_tools_says_so(opened: Any, context: RequestContext) -> None:
    async with opened("{% for message in messages %}{{ message.content }}{% endfor %}") as engine:
        with pytest.raises(BadRequest, match="stories's chat template knows no tools") as caught:
            await choice(engine, body(), context)
        assert caught.value.param == "tools"
        assert await choice(engine, body(tool_choice="none", max_tokens=2), context)
    unknown = "{% for tool in tools or [] %}{{ tool | tojson }}{% endfor %}{{ messages[0].content }}"
    async with opened(unknown) as engine:
        with pytest.raises(BadRequest, match=r"in a way that is not known here.*tool_dialect"):
            await choice(engine, body(), context)
    async with opened(unknown, tool_dialect="hermes") as engine:
        made = await choice(engine, body(tool_choice="required", parallel_tool_calls=False), context)
        check_calls(made["message"]["tool_calls"], {"weather", "now"})


async def test_a_tool_that_cannot_be_kept_is_refused(opened: Any, context: RequestContext) -> None:
    bad = {"type": "function", "function": {"name": "bad", "parameters": {"unevaluatedProperties": False}}}
    async with opened(HERMES) as engine:
        with pytest.raises(BadRequest, match="unevaluatedProperties") as caught:
            await choice(engine, body(tools=[NOW, bad]), context)
        assert caught.value.param == "tools"


async def test_thoughts_are_told_apart(opened: Any, context: RequestContext) -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "boolean"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    async with opened(THINKING, {500: "</think>"}, reproducible=True) as engine:
        free = body(tools=None, max_tokens=10)
        made = await choice(engine, free, context)
        assert made["message"]["content"] == ""
        thoughts = made["message"]["reasoning_content"]
        assert thoughts
        parts, _ = await deltas(engine, free, context)
        assert "".join(part.get("reasoning_content") or "" for part in parts) == thoughts
        # A nudge to come to an end; the document follows, and its own text cannot have the marker.
        nudged = body(tools=None, response_format=wanted, logit_bias={"500": 100}, temperature=1, seed=1)
        made = await choice(engine, nudged, context)
        assert made["finish_reason"] == "stop"
        assert set(json.loads(made["message"]["content"])) == {"a"}
        parts, _ = await deltas(engine, nudged, context)
        assert "".join(part.get("content") or "" for part in parts) == made["message"]["content"]
        required = body(tool_choice="required", parallel_tool_calls=False, logit_bias={"500": 100})
        check_calls((await choice(engine, required, context))["message"]["tool_calls"], {"weather", "now"})
        off = free | {"chat_template_kwargs": {"enable_thinking": False}}
        made = await choice(engine, off, context)
        assert made["message"]["content"]
        assert "reasoning_content" not in made["message"]


@pytest.mark.parametrize("option", ["reasoning_effort", "messages", "bos_token", "budget"])
async def test_options_that_the_template_lacks_are_refused(
    opened: Any, option: str, context: RequestContext
) -> None:
    async with opened(THINKING) as engine:
        fields = (
            {"chat_template_kwargs": {option: "low"}} if option != "reasoning_effort" else {option: "low"}
        )
        with pytest.raises(BadRequest, match="has no such option") as caught:
            await choice(engine, body(**fields), context)
        assert caught.value.param is not None
        assert caught.value.param.endswith(option)


USE = ToolUse((Tool("weather", CITY, {}), Tool("weather_now", {"type": "object", "properties": {}}, {})))
CALL = '{"name": "weather", "arguments": {"city": "Rome", "days": 2}}'
CALL3 = '{"name": "weather", "parameters": {"city": "Rome", "days": 2}}'
SCHEMA: JsonObject = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


@pytest.mark.parametrize(
    ("dialect", "thinking", "schema", "text", "is_right"),
    [
        (Hermes(), Thinking.NEVER, None, "Just <b>text</b> { with } things", True),
        (Hermes(), Thinking.NEVER, None, f"I see.\n<tool_call>\n{CALL}\n</tool_call>", True),
        (
            Hermes(),
            Thinking.NEVER,
            None,
            f"<tool_call>\n{CALL}\n</tool_call>\n<tool_call>{CALL}</tool_call>",
            True,
        ),
        (Hermes(), Thinking.NEVER, None, f"<tool_call>\n{CALL}\n</tool_call>\nand text", True),
        (Hermes(), Thinking.NEVER, None, "<tool_call> is what I would write", False),
        (Hermes(), Thinking.NEVER, None, '<tool_call>\n{"name": "rm"', False),
        (
            Hermes(),
            Thinking.NEVER,
            None,
            '<tool_call>\n{"name": "weather_now", "arguments": {"x": 1}}\n</tool_call>',
            True,
        ),
        (Hermes(), Thinking.NEVER, SCHEMA, '{"a": 1}', True),
        (Hermes(), Thinking.NEVER, SCHEMA, f"<tool_call>\n{CALL}\n</tool_call>", True),
        (Hermes(), Thinking.NEVER, SCHEMA, "text", False),
        (
            Hermes(),
            Thinking.POSSIBLE,
            None,
            f"<think>\nIs it <tool_call> now?\n</think>\n\n<tool_call>{CALL}</tool_call>",
            True,
        ),
        (Hermes(), Thinking.POSSIBLE, None, "<think>\nHm\n</think>\n\nText", True),
        (Hermes(), Thinking.POSSIBLE, None, "Text without thoughts", True),
        (Hermes(), Thinking.POSSIBLE, SCHEMA, '<think>Hm</think>\n\n{"a": 1}', True),
        (Hermes(), Thinking.POSSIBLE, SCHEMA, '{"a": 1}', True),
        (Hermes(), Thinking.OPEN, None, "Is it <tool_call> now?\n</think>\n\nText", True),
        (Llama3(), Thinking.NEVER, None, "Text, and {1}", True),
        (Llama3(), Thinking.NEVER, None, '{"answer": 1}', True),
        (Llama3(), Thinking.NEVER, None, CALL3, True),
        (Llama3(), Thinking.NEVER, None, '{"name": "rm', False),
        (Llama3(), Thinking.NEVER, None, f"<|python_tag|>{CALL3}", True),
    ],
)
def test_what_an_answer_may_be(
    stories_gguf: Path,
    dialect: Dialect,
    thinking: Thinking,
    schema: JsonObject | None,
    text: str,
    is_right: bool,
) -> None:
    model = Model(stories_gguf)
    try:
        lark = answer_grammar(dialect, USE, schema, thinking, Markers())
        assert lark is not None
        matcher: LLMatcher = Grammars(model).compile(lark, "tools")._matcher
        tokens = model.tokenize(text, add_special=False, parse_special=False).tolist()[
            1:
        ]  # without its leading space
        assert model.piece(tokens[0]) in text.encode()[:8]
        num_taken = matcher.try_consume_tokens(tokens)
        assert (num_taken == len(tokens) and matcher.is_accepting()) == is_right, matcher.get_error()
    finally:
        model.close()
