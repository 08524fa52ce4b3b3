"""Calls that a mock model makes by order."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from configs.schema import MockModel
from serve_app.engines.mock import MockGenerator
from serve_app.engines.text_edge import TextEdge
from serve_app.messages import Endpoint, JsonObject, RequestContext

TOOLS = [{"type": "function", "function": {"name": name}} for name in ("look", "send")]


def body(*messages: JsonObject, **more: Any) -> JsonObject:
    return {"model": "mock", "messages": list(messages), "tools": TOOLS, "max_tokens": 3, **more}


def said(text: str, role: str = "user") -> JsonObject:
    return {"role": role, "content": text}


@pytest.mark.parametrize(
    ("messages", "wanted"),
    [
        ([said('call:look {"key": {"a": 1}} please')], ("look", {"key": {"a": 1}})),
        ([said("call:look and then call:send")], ("look", {})),
        ([said("call:look call:send"), said("", "assistant"), said("42", "tool")], ("send", {})),
        ([said("call:look"), said("", "assistant"), said("42", "tool")], None),
        ([said("call:look"), said("Yes.", "assistant"), said("And now?")], None),
        ([said("call:fly")], None),
        ([said("call:look {broken")], ("look", {})),
        ([said("hello")], None),
    ],
)
async def test_orders_are_carried_out_one_an_answer(
    messages: Sequence[JsonObject], wanted: tuple[str, JsonObject] | None, context: RequestContext
) -> None:
    engine = TextEdge(MockGenerator(MockModel(name="mock", engine="mock", ttft_ms=0, tpot_ms=0)))
    document = json.loads(await engine.respond(Endpoint.CHAT, body(*messages), context))
    choice = document["choices"][0]
    if wanted is None:
        assert choice["finish_reason"] == "length"
        assert "tool_calls" not in choice["message"]
        return
    assert choice["finish_reason"] == "tool_calls"
    function = choice["message"]["tool_calls"][0]["function"]
    assert (function["name"], json.loads(function["arguments"])) == wanted


async def test_without_tools_there_are_no_calls(context: RequestContext) -> None:
    engine = TextEdge(MockGenerator(MockModel(name="mock", engine="mock", ttft_ms=0, tpot_ms=0)))
    asked = body(said("call:look"), tool_choice="none")
    document = json.loads(await engine.respond(Endpoint.CHAT, asked, context))
    assert document["choices"][0]["finish_reason"] == "length"
