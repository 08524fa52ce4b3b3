"""Statuses, errors, pings and disconnects of streams and of plain calls."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from configs.schema import IngressConfig
from serve_app.errors import EngineFailed, Overloaded, Unavailable
from serve_app.ingress.app import create_app
from serve_app.ingress.routes import completions
from serve_app.messages import AgentEvent, Deadline
from serve_app.streams import until_deadline

CHAT = {"model": "mock", "messages": [{"role": "user", "content": "hi"}]}
AGENT = {"question": "What is a manta?"}


class SlowModel:
    """Sends `frames`, then waits for ever; raises what is an exception among them."""

    def __init__(self, *frames: bytes | Exception) -> None:
        self.frames = frames
        self.num_running = 0
        self.is_working = asyncio.Event()

    async def respond(self, endpoint, body, context) -> bytes:
        async for _ in until_deadline(self.stream(endpoint, body, context), Deadline.after(60), "test"):
            pass
        raise AssertionError

    async def stream(self, endpoint, body, context) -> AsyncIterator[bytes]:
        self.num_running += 1
        try:
            for frame in self.frames:
                if isinstance(frame, Exception):
                    raise frame
                yield frame
            self.is_working.set()
            await asyncio.Event().wait()
        finally:
            self.num_running -= 1


@pytest.fixture
def with_model(config, services):
    def build(model: SlowModel, **changes):
        services.models["mock"] = model
        return create_app(IngressConfig(**{**config.model_dump(), **changes}), services)

    return build


def events(body: bytes) -> list[tuple[str | None, dict]]:
    found = []
    for block in body.decode().strip().split("\n\n"):
        lines = block.split("\n")
        name = lines[0].removeprefix("event: ") if lines[0].startswith("event: ") else None
        if lines[-1].startswith("data: {"):
            found.append((name, json.loads(lines[-1].removeprefix("data: "))))
    return found


async def test_a_stream_is_not_to_be_buffered(client) -> None:
    answer = await client.post("/v1/chat/completions", json={**CHAT, "stream": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.text.endswith("data: [DONE]\n\n")


async def test_frames_leave_as_they_come(with_model, raw_call) -> None:
    app = with_model(SlowModel(b"data: 1\n\n", b"data: 2\n\n"))
    call = raw_call("/v1/chat/completions", {**CHAT, "stream": True}, on=app)
    await call.wait_for(3)
    assert [message.get("body") for message in call.sent] == [None, b"data: 1\n\n", b"data: 2\n\n"]


async def test_an_error_before_the_first_event_has_its_status(with_model, raw_call) -> None:
    call = raw_call(
        "/v1/chat/completions",
        {**CHAT, "stream": True},
        on=with_model(SlowModel(Overloaded("no slot", 2.2))),
    )
    await call.done()
    assert call.status == 429
    assert (b"retry-after", b"3") in call.sent[0]["headers"]
    assert json.loads(call.body())["error"]["type"] == "rate_limit_error"


async def test_a_later_error_ends_the_stream_without_done(with_model, raw_call) -> None:
    app = with_model(SlowModel(b"data: {}\n\n", EngineFailed("the engine broke")))
    call = raw_call("/v1/chat/completions", {**CHAT, "stream": True}, on=app)
    await call.done()
    assert call.status == 200
    assert events(call.body())[-1] == (
        None,
        {
            "error": {
                "message": "the engine broke",
                "type": "server_error",
                "param": None,
                "code": "engine_failed",
            }
        },
    )
    assert b"[DONE]" not in call.body()
    assert call.sent[-1]["more_body"] is False


async def test_a_stream_that_never_starts_is_an_error(with_model, raw_call, services) -> None:
    class Empty(SlowModel):
        async def stream(self, endpoint, body, context):
            return
            yield b""

    call = raw_call("/v1/chat/completions", {**CHAT, "stream": True}, on=with_model(Empty()))
    await call.done()
    assert call.status == 502


@pytest.mark.parametrize("is_stream", [False, True])
async def test_the_deadline_ends_a_silent_model(with_model, raw_call, is_stream) -> None:
    model = SlowModel()
    call = raw_call(
        "/v1/chat/completions",
        {**CHAT, "stream": is_stream},
        on=with_model(model),
        x_request_timeout_s="0.01",
    )
    await call.done()
    assert call.status == 504
    error = json.loads(call.body())["error"]
    assert error["code"] == "deadline_exceeded"
    assert error["stage"] == "mock"
    assert model.num_running == 0


async def test_the_deadline_ends_a_stream_that_has_begun(with_model, raw_call) -> None:
    model = SlowModel(b"data: {}\n\n")
    call = raw_call(
        "/v1/chat/completions", {**CHAT, "stream": True}, on=with_model(model), x_request_timeout_s="0.05"
    )
    await call.done()
    assert call.status == 200
    assert events(call.body())[-1][1]["error"]["code"] == "deadline_exceeded"
    assert model.num_running == 0


@pytest.mark.parametrize("frames", [(), (b"data: {}\n\n",)])
async def test_a_client_that_leaves_ends_the_stream(with_model, raw_call, frames) -> None:
    model = SlowModel(*frames)
    call = raw_call("/v1/chat/completions", {**CHAT, "stream": True}, on=with_model(model))
    await model.is_working.wait()
    assert model.num_running == 1
    await call.leave()
    assert model.num_running == 0


async def test_a_client_that_leaves_ends_a_plain_call(with_model, raw_call) -> None:
    model = SlowModel()
    call = raw_call("/v1/chat/completions", CHAT, on=with_model(model))
    await model.is_working.wait()
    await call.leave()
    assert model.num_running == 0
    assert call.status == 499


async def test_a_cancelled_request_ends_the_work(with_model, raw_call) -> None:
    """Serve cancels the replica's task instead of sending a disconnect."""
    model = SlowModel(b"data: {}\n\n")
    call = raw_call("/v1/chat/completions", {**CHAT, "stream": True}, on=with_model(model))
    await model.is_working.wait()
    await call.cancel()
    assert model.num_running == 0


async def test_half_a_body_is_no_request(raw_call, generator) -> None:
    call = raw_call("/v1/chat/completions", b'{"model": "mo', is_whole=False)
    await call.leave()
    assert call.status == 499
    assert generator.num_running == 0


async def test_a_body_that_never_comes_is_given_up(raw_call) -> None:
    call = raw_call("/v1/chat/completions", b'{"mod', is_whole=False, x_request_timeout_s="0.01")
    await call.done()
    assert call.status == 504
    assert json.loads(call.body())["error"]["stage"] == "reading the body"


# ---------------------------------------------------------------- agent


async def test_agent_events_have_names(client, agent) -> None:
    answer = await client.post("/v1/agent/answers", json={**AGENT, "stream": True})
    names = [name for name, _ in events(answer.content)]
    assert names == ["run.started", "answer.delta", "answer.final"]
    assert events(answer.content)[-1][1]["citations"][0]["n"] == 1


async def test_agent_answers_as_a_document(client, agent) -> None:
    answer = await client.post(
        "/v1/agent/answers",
        json={**AGENT, "k": 3, "filters": {"source": ["docs"]}, "max_tokens": 9, "temperature": 1},
        headers={"x-manta-tenant": "acme", "x-manta-priority": "batch"},
    )
    assert answer.status_code == 200
    assert answer.json()["text"] == "Mantas glide. [1]"
    assert answer.json()["outcome"] == "answered"
    [question] = agent.questions
    assert (question.k, question.filters, question.max_tokens) == (3, {"source": ["docs"]}, 9)
    assert agent.contexts[0].tenant == "acme"
    assert agent.contexts[0].priority == "batch"


async def test_agent_conversations_keep_their_history(client, agent) -> None:
    turns = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "!"}]},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": "three"},
    ]
    for path, body in (("agent/answers", {}), ("chat/completions", {"model": "manta"})):
        answer = await client.post(f"/v1/{path}", json={**body, "messages": turns})
        assert answer.status_code == 200
        assert agent.questions[-1].question == "three"
        assert [turn["content"] for turn in agent.questions[-1].history] == ["be brief", "one!", "two"]
    wrong = await client.post("/v1/agent/answers", json={"messages": turns[:3]})
    assert wrong.status_code == 400
    assert wrong.json()["error"]["param"] == "messages"


@pytest.mark.parametrize("path", ["agent/answers", "chat/completions"])
@pytest.mark.parametrize("is_stream", [False, True])
async def test_an_agents_error_has_its_status_or_its_event(client, agent, path, is_stream) -> None:
    error = {"message": "no base", "type": "server_error", "param": None, "code": "unavailable"}
    body = {"stream": is_stream, "messages": CHAT["messages"]}
    if path == "chat/completions":
        body["model"] = "manta"
    agent.script = [Unavailable("no base")]
    early = await client.post(f"/v1/{path}", json=body)
    assert (early.status_code, early.json()["error"]) == (503, error)

    agent.script = [AgentEvent("run.started", {}), *agent.script]
    late = await client.post(f"/v1/{path}", json=body)
    if is_stream:
        name = "error" if path == "agent/answers" else None
        assert events(late.content)[-1] == (name, {"error": error})
    else:
        assert late.status_code == 503
    assert agent.num_running == 0


@pytest.mark.parametrize("path", ["agent/answers", "chat/completions"])
async def test_a_client_that_leaves_ends_the_agents_run(raw_call, agent, path) -> None:
    agent.script.insert(1, None)
    body = {"model": "manta"} if path == "chat/completions" else {}
    call = raw_call(f"/v1/{path}", {**body, "messages": CHAT["messages"], "stream": True})
    await call.wait_for(2)
    assert agent.num_running == 1
    await call.leave()
    assert agent.num_running == 0


async def test_silence_is_filled_with_pings(raw_call, agent, monkeypatch) -> None:
    monkeypatch.setattr(completions, "PING_EVERY_S", 0.01)
    agent.script.insert(1, None)
    call = raw_call("/v1/chat/completions", {"model": "manta", "messages": CHAT["messages"], "stream": True})
    await call.wait_for(4)  # status, role, and two pings
    assert [message["body"] for message in call.sent[2:4]] == [b": ping\n\n"] * 2
    agent.go.set()
    await call.done()
    assert call.body().endswith(b"data: [DONE]\n\n")


async def test_an_agent_that_ends_without_an_answer_is_an_error(client, agent) -> None:
    agent.script = agent.script[:1]
    answer = await client.post("/v1/agent/answers", json=AGENT)
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "engine_failed")


async def test_an_agent_that_changes_its_streamed_text_is_an_error(client, agent) -> None:
    agent.script[1] = AgentEvent("answer.delta", {"text": "Sharks "})
    answer = await client.post(
        "/v1/chat/completions", json={"model": "manta", "messages": CHAT["messages"], "stream": True}
    )
    assert events(answer.content)[-1][1]["error"]["code"] == "engine_failed"


@pytest.mark.parametrize(
    ("field", "value"),
    [("tools", [{"type": "function"}]), ("n", 2), ("logprobs", True), ("top_p", 0.5), ("stop", "x")],
)
async def test_an_agent_refuses_what_it_cannot_do(client, field, value) -> None:
    body = {"model": "manta", "messages": CHAT["messages"], field: value}
    answer = await client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == field


async def test_an_agent_is_found_by_name(client) -> None:
    assert (await client.post("/v1/agent/answers", json={**AGENT, "agent": "manta"})).status_code == 200
    missing = await client.post("/v1/agent/answers", json={**AGENT, "agent": "nobody"})
    assert missing.status_code == 404
    neither = await client.post("/v1/agent/answers", json={})
    assert neither.json()["error"]["param"] == "question"
