"""OpenAI's wire format and the framework's messages."""

from __future__ import annotations

from typing import Any

import pytest

from serve_app.agents.arguments import parsed
from serve_app.agents.turn import CallPieces, openai_messages
from serve_app.errors import BadRequest


def piece(index: int | None, call_id: str | None, name: str | None, arguments: str | None) -> dict[str, Any]:
    told: dict[str, Any] = {"function": {"name": name, "arguments": arguments}}
    return told | ({} if index is None else {"index": index}) | ({} if call_id is None else {"id": call_id})


@pytest.mark.parametrize(
    ("pieces", "wanted"),
    [
        # As OpenAI streams it.
        (
            [piece(0, "a", "look", ""), piece(0, None, None, '{"k'), piece(0, None, None, 'ey":1}')],
            [("a", "look", '{"key":1}')],
        ),
        # Two calls, their pieces mixed.
        (
            [
                piece(0, "a", "x", "{"),
                piece(1, "b", "y", "{"),
                piece(0, None, None, "}"),
                piece(1, None, None, "}"),
            ],
            [("a", "x", "{}"), ("b", "y", "{}")],
        ),
        # Whole calls without an index, and with one and the same.
        ([piece(None, "a", "x", "{}"), piece(None, "b", "y", "{}")], [("a", "x", "{}"), ("b", "y", "{}")]),
        ([piece(0, "a", "x", "{}"), piece(0, "b", "y", "{}")], [("a", "x", "{}"), ("b", "y", "{}")]),
        # Without ids or names.
        ([piece(0, None, "x", None)], [("call_1", "x", "")]),
        ([piece(0, "a", None, "{}")], [("a", "unnamed", "{}")]),
        # An id that the run has had.
        ([piece(0, "old", "x", "{}")], [("old_1_0", "x", "{}")]),
    ],
)
def test_pieces_of_calls_come_together(
    pieces: list[dict[str, Any]], wanted: list[tuple[str, str, str]]
) -> None:
    calls = CallPieces()
    for one in pieces:
        calls.add(one)
    assert [(call.id, call.name, call.arguments) for call in calls.calls(["old"])] == wanted


def test_results_stand_before_what_else_the_user_says() -> None:
    messages = [
        {"role": "user", "content": [{"text": "Look."}]},
        {
            "role": "assistant",
            "content": [
                {"text": "Yes."},
                {"toolUse": {"toolUseId": "a", "name": "look", "input": {"k": "ä"}}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"toolResult": {"toolUseId": "a", "status": "success", "content": [{"text": "42"}]}},
                {"text": "Well?"},
            ],
        },
    ]
    shaped = openai_messages("Help.", messages)
    assert [one["role"] for one in shaped] == ["system", "user", "assistant", "tool", "user"]
    assert shaped[2]["tool_calls"][0]["function"]["arguments"] == '{"k": "ä"}'


@pytest.mark.parametrize("text", ["", "  ", "{}"])
def test_no_arguments_are_none(text: str) -> None:
    assert parsed(text) == {}


@pytest.mark.parametrize("text", ["[]", "1", '"a"', "{", "null", '{"a":1} x'])
def test_arguments_are_one_object(text: str) -> None:
    with pytest.raises(BadRequest):
        parsed(text)
