"""Guards after a model that calls tools: the arguments of its calls."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from guarded import CARD, DONE, Model, ask, guards, outgoing, read

from configs.schema import GuardPolicies
from serve_app.front.base import Ask


class Caller(Model):
    """Calls tools, their arguments in pieces of a few characters."""

    def __init__(self, *arguments: str, is_old: bool = False, text: str = "") -> None:
        super().__init__(text)
        self.arguments = arguments
        self.is_old = is_old

    def calls(self, at: int, function: dict[str, Any], **more: Any) -> dict[str, Any]:
        if self.is_old:
            return {"function_call": function}
        return {"tool_calls": [{"index": at, "function": function, **more}]}

    async def source(self, asked: Ask) -> AsyncGenerator[bytes]:
        reason = "function_call" if self.is_old else "tool_calls"
        if not asked.is_stream:
            message: dict[str, Any] = {"role": "assistant", "content": None}
            for at, arguments in enumerate(self.arguments):
                called = self.calls(at, {"name": "f", "arguments": arguments})
                message["tool_calls"] = [*message.get("tool_calls", []), *called.pop("tool_calls", [])]
                message |= called
            choice = {"index": 0, "message": message, "finish_reason": reason}
            yield json.dumps({"id": "1", "choices": [choice]}).encode()
            return
        for at, arguments in enumerate(self.arguments):
            yield self.chunk(self.calls(at, {"name": "f", "arguments": ""}, id=f"c{at}"))
            for start in range(0, len(arguments), 3):
                yield self.chunk(self.calls(at, {"arguments": arguments[start : start + 3]}))
        yield self.chunk({}, finish_reason=reason) + DONE.encode()


def called(answer: str) -> tuple[list[str], str | None]:
    """The arguments of each call, put together, and how the answer ended."""
    found: dict[int, str] = {}
    reason = None
    documents = [
        json.loads(line[6:]) for line in answer.removesuffix(DONE).split("\n\n") if line[:5] == "data:"
    ]
    for choice in (one for document in documents or [json.loads(answer)] for one in document["choices"]):
        part = choice.get("delta") or choice.get("message") or {}
        reason = choice["finish_reason"] or reason
        for at, call in enumerate(part.get("tool_calls") or ()):
            number = call.get("index", at)
            found[number] = found.get(number, "") + call["function"].get("arguments", "")
        if "function_call" in part:
            found[0] = found.get(0, "") + part["function_call"].get("arguments", "")
    return [found[at] for at in sorted(found)], reason


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("is_old", [False, True])
async def test_arguments_of_calls_are_redacted_and_stay_json(*, is_stream: bool, is_old: bool) -> None:
    given = {
        "to": [f"pay {CARD} now", 4111111111111111, 12.5, None, True],
        "password": "correcthorsebattery",
        "note": 'a "quoted" line\n and http://x:y","b":"u@z',
    }
    model = Caller(json.dumps(given), is_old=is_old)
    asked = ask("x", is_stream=is_stream)
    answer = await read(outgoing(pii="redact", secrets="redact"), asked, model)
    (arguments,), reason = called(answer)
    assert json.loads(arguments) == given | {
        "to": ["pay [CARD] now", "[CARD]", 12.5, None, True],
        "password": "[ASSIGNED_SECRET]",
    }
    assert reason == ("function_call" if is_old else "tool_calls")
    assert CARD not in answer


@pytest.mark.parametrize(
    "arguments",
    [
        f'{{"card":"{CARD}","card":"x"}}',
        '{"card":4111111111111111.0}',
        '{"card":4.111111111111111e15}',
        json.dumps({"arguments": json.dumps({"card": CARD})}),
        json.dumps({"id": CARD.replace(" ", "")}),
    ],
)
async def test_there_is_no_place_in_arguments_to_hide_in(arguments: str) -> None:
    answer = await read(outgoing(pii="redact"), ask("x"), Caller(arguments))
    assert "[CARD]" in called(answer)[0][0]
    assert CARD not in answer


@pytest.mark.parametrize("is_stream", [False, True])
async def test_arguments_that_block_do_not_go_out_and_neither_does_the_call(*, is_stream: bool) -> None:
    model = Caller(json.dumps({"a": "fine"}), json.dumps({"how": "to build a bomb"}))
    answer = await read(outgoing(topics="block"), ask("x", is_stream=is_stream), model)
    assert called(answer)[1] == "content_filter"
    assert "bomb" not in answer


@pytest.mark.parametrize("is_stream", [False, True])
async def test_arguments_that_hold_nothing_are_what_the_model_wrote(*, is_stream: bool) -> None:
    written = ['{"a" :  1.50, "b":"\\u00e4"}', "not { json", '"text"', ""]
    answer = await read(outgoing(pii="redact"), ask("x", is_stream=is_stream), Caller(*written))
    assert called(answer) == (written, "tool_calls")


async def test_flagged_arguments_come_piece_by_piece() -> None:
    counted: Counter[str] = Counter()
    one = guards(
        lambda metric, amount=1.0, **labels: counted.update([labels["kind"]]),
        output=GuardPolicies(pii="flag"),
    )
    model = Caller(json.dumps({"card": CARD}))
    frames = [frame async for frame in one.frames(ask("x", is_stream=True), model.source)]
    assert len(frames) > 8
    assert called(b"".join(frames).decode()) == ([json.dumps({"card": CARD})], "tool_calls")
    assert counted == {"card": 1}


@pytest.mark.parametrize("piece", ["[", '{"a":', '["', "1 ", '{"arguments":"'])
async def test_hostile_arguments_end(piece: str) -> None:
    text = (piece * 20_000)[:60_000]
    answer = await read(outgoing(pii="redact"), ask("x"), Caller(text, json.dumps([CARD] * 3000)))
    assert CARD not in answer
