from __future__ import annotations

import json
from typing import Any

import pytest

from serve_app.agent.helper import ModelHelper, Told
from serve_app.agent.route import Route
from serve_app.errors import EngineFailed, Overloaded
from serve_app.messages import Deadline, Endpoint, JsonObject, RequestContext

CONTEXT = RequestContext("r", "acme", Deadline.after(86_400))
HISTORY = (
    {"role": "system", "content": "Answer in verse."},
    {"role": "user", "content": "What is a deadline?"},
    {"role": "assistant", "content": "A moment."},
)


USAGE = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}


class Model:
    """Says one thing, as the text of a chat completion or as raw bytes."""

    def __init__(self, reply: Any) -> None:
        self.reply = reply
        self.body: JsonObject = {}

    async def respond(self, endpoint: Endpoint, body: JsonObject, context: RequestContext) -> bytes:
        self.body = body
        if isinstance(self.reply, Exception):
            raise self.reply
        if isinstance(self.reply, bytes):
            return self.reply
        content = self.reply if isinstance(self.reply, str) else json.dumps(self.reply)
        return json.dumps({"choices": [{"message": {"content": content}}], "usage": USAGE}).encode()


def helper(reply: Any) -> tuple[ModelHelper, Model]:
    model = Model(reply)
    return ModelHelper("small", model), model  # type: ignore[arg-type]


async def test_a_route_is_one_of_the_schemas() -> None:
    small, model = helper({"route": "fresh"})
    assert await small.route("What of today?", HISTORY, CONTEXT) == Told(Route.FRESH, USAGE)
    schema = model.body["response_format"]["json_schema"]["schema"]
    assert set(schema["properties"]["route"]["enum"]) == set(Route) - {Route.TASK}
    assert [turn["role"] for turn in model.body["messages"]] == ["system", "user", "assistant", "user"]
    assert "verse" not in str(model.body["messages"]), "the client's instructions are not the helper's"


async def test_tasks_are_a_route_where_an_agent_takes_them() -> None:
    model = Model({"route": "task"})
    small = ModelHelper("small", model, "Books\nrooms.")  # type: ignore[arg-type]
    assert (await small.route("Get me a room.", (), CONTEXT)).value is Route.TASK
    schema = model.body["response_format"]["json_schema"]["schema"]
    assert set(schema["properties"]["route"]["enum"]) == set(Route)
    assert "of which it is said: Books rooms." in model.body["messages"][0]["content"]


GARBAGE = ["no JSON", [], {}, {"route": "elsewhere"}, {"route": 3}, b"\xff", b"{}", Overloaded("full")]


@pytest.mark.parametrize("reply", GARBAGE, ids=str)
async def test_an_answer_that_is_none_is_an_error(reply: Any) -> None:
    with pytest.raises((EngineFailed, Overloaded)):
        await helper(reply)[0].route("q", (), CONTEXT)


@pytest.mark.parametrize(
    ("queries", "kept"),
    [
        (["a b", "c"], ("a b", "c")),
        (["a", "a", "b", "c"], ("a", "b")),
        (["a\n\u200b b <!-- x -->", 7, ""], ("a b",)),
    ],
)
async def test_at_most_two_queries_are_kept_clean(queries: list[Any], kept: tuple[str, ...]) -> None:
    assert await helper({"queries": queries})[0].rewrite("q", HISTORY, CONTEXT) == Told(kept, USAGE)


@pytest.mark.parametrize(
    "reply", [{"queries": []}, {"queries": ["  "]}, {}, {"queries": "a"}, {"queries": 3}]
)
async def test_no_query_is_an_error(reply: Any) -> None:
    with pytest.raises(EngineFailed, match="no query"):
        await helper(reply)[0].rewrite("q", (), CONTEXT)
