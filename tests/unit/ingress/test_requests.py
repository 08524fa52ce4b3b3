"""Headers, bodies, unknown names: what is refused, and that the refusal names the thing."""

import json

import httpx
import pytest

from configs.schema import IngressConfig
from serve_app.errors import BadRequest
from serve_app.ingress.app import create_app
from serve_app.ingress.requests.body import MAX_DEPTH, parse_json
from serve_app.messages import Priority

CHAT = {"model": "mock", "messages": [{"role": "user", "content": "hi"}]}
JSON = {"content-type": "application/json"}


class Recorder:
    """A model that keeps what it was given."""

    def __init__(self) -> None:
        self.seen = []

    async def respond(self, endpoint, body, context) -> bytes:
        self.seen.append((endpoint, body, context))
        return b"{}"


@pytest.fixture
def model(services) -> Recorder:
    services.models["mock"] = recorder = Recorder()
    return recorder


async def test_the_engine_gets_the_body_as_it_was_sent(client, model) -> None:
    body = {**CHAT, "unknown": {"to": ["us"]}, "temperature": 0.5}
    answer = await client.post("/v1/chat/completions", json=body)
    assert answer.content == b"{}"
    assert model.seen[0][1] == body


async def test_headers_become_the_context(client, model) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    answer = await client.post(
        "/v1/chat/completions",
        json=CHAT,
        headers={
            "x-request-id": "abc-1",
            "x-manta-tenant": "acme",
            "x-request-timeout-s": "7.5",
            "x-manta-priority": "batch",
            "traceparent": trace,
        },
    )
    context = model.seen[0][2]
    assert answer.headers.get_list("x-request-id") == ["abc-1"]
    assert (context.request_id, context.tenant, context.priority) == ("abc-1", "acme", Priority.BATCH)
    assert context.traceparent == trace
    assert 5 < context.deadline.remaining_s() <= 7.5


async def test_behind_a_server_that_echoes_the_id_we_do_not(config, services) -> None:
    transport = httpx.ASGITransport(app=create_app(config, services, echoes_request_id=False))
    async with httpx.AsyncClient(transport=transport, base_url="http://manta") as one:
        answer = await one.get("/healthz", headers={"x-request-id": "abc-1"})
    assert "x-request-id" not in answer.headers


async def test_defaults_of_the_context(client, model, config) -> None:
    answer = await client.post("/v1/chat/completions", json=CHAT)
    context = model.seen[0][2]
    assert context.request_id == answer.headers["x-request-id"]
    assert (context.tenant, context.priority, context.traceparent) == ("default", "interactive", None)
    assert context.deadline.remaining_s() <= config.default_deadline_s


@pytest.mark.parametrize("given", ["", "a b", "x" * 200, "é", "<script>"])
async def test_an_odd_request_id_is_replaced(client, given) -> None:
    answer = await client.get("/healthz", headers={"x-request-id": given.encode()})
    assert answer.headers["x-request-id"] not in ("", given)


async def test_a_malformed_traceparent_is_ignored(client, model) -> None:
    for given in ("00-0-0-0", "ff-" + "1" * 32 + "-" + "1" * 16 + "-01", f"00-{'0' * 32}-{'1' * 16}-01"):
        await client.post("/v1/chat/completions", json=CHAT, headers={"traceparent": given})
        assert model.seen[-1][2].traceparent is None


async def test_a_long_timeout_is_cut(client, model, config) -> None:
    await client.post("/v1/chat/completions", json=CHAT, headers={"x-request-timeout-s": "999999999"})
    assert model.seen[0][2].deadline.remaining_s() <= config.max_deadline_s


@pytest.mark.parametrize("value", ["0", "-1", "", "nan", "inf", "1e3", "0x10", "5s", "٣", "0.0", "1" * 50])
async def test_a_malformed_timeout_is_named(client, value) -> None:
    headers = {"x-request-timeout-s": value.encode()}
    answer = await client.post("/v1/chat/completions", json=CHAT, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "x-request-timeout-s"


@pytest.mark.parametrize(
    ("header", "value"), [("x-manta-priority", "urgent"), ("x-manta-tenant", "a b"), ("x-manta-tenant", "")]
)
async def test_other_malformed_headers_are_named(client, header, value) -> None:
    for answer in (
        await client.post("/v1/chat/completions", json=CHAT, headers={header: value}),
        await client.get("/v1/knowledge/status", headers={header: value}),
    ):
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == header


async def test_two_tenants_are_none(client) -> None:
    headers = [("x-manta-tenant", "a"), ("x-manta-tenant", "b")]
    assert (await client.get("/v1/knowledge/status", headers=headers)).status_code == 400


# ---------------------------------------------------------------- bodies


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "line 1 column 1"),
        (b'{"model": "mock",\n "messages": }', "line 2 column 14"),
        (b'{"a": 1} x', "line 1 column 10"),
        (b"[]", "an array"),
        (b"null", "null"),
        (b'"x"', "a string"),
        (b"1.5", "a number"),
        (b"true", "a boolean"),
        (b'{"a": "\xff"}', "not UTF-8: invalid start byte at byte 7"),
        ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
        (b'\xef\xbb\xbf{"a": 1}', "not JSON"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "-Infinity"),
        (b'{"a": 1e999}', "too large"),
        (b'{"a": ' + b"9" * 5000 + b"}", "too many digits"),
        (b'{"a": "\\ud83d"}', "surrogate"),
        (b'{"a": ' + b"[" * 200 + b"]" * 200 + b"}", "nested"),
        (b'{"a": ' + b"[" * 20000 + b"]" * 20000 + b"}", "nested"),
        (b'{"a":' * 200 + b"1" + b"}" * 200, "nested"),
    ],
)
@pytest.mark.parametrize("path", ["chat/completions", "knowledge/search"])
async def test_a_bad_body_says_what_is_wrong(client, path, raw, says) -> None:
    answer = await client.post(f"/v1/{path}", content=raw, headers=JSON)
    assert answer.status_code == 400
    assert says in answer.json()["error"]["message"]
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_whole_surrogate_pairs_are_text() -> None:
    assert parse_json(b'{"a": "\\ud83d\\ude00"}') == {"a": "\U0001f600"}


def test_depth_is_counted_to_the_limit() -> None:
    arrays = MAX_DEPTH - 1  # the object itself is a level
    parse_json(b'{"a":' + b"[" * arrays + b"]" * arrays + b"}")
    with pytest.raises(BadRequest, match="nested"):
        parse_json(b'{"a":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}")


async def test_a_body_of_another_type_is_refused(client) -> None:
    for headers in ({"content-type": "text/plain"}, {}):
        answer = await client.post(
            "/v1/knowledge/documents/delete", content=json.dumps({"ids": ["a"]}), headers=headers
        )
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == "content-type"
    spelt = {"content-type": "Application/JSON; charset=utf-8"}
    answer = await client.post("/v1/chat/completions", content=json.dumps(CHAT), headers=spelt)
    assert answer.status_code == 200


async def test_a_large_body_is_413_whether_announced_or_not(client, config) -> None:
    async def chunks():
        for _ in range(config.max_body_bytes // 1024 + 1):
            yield b" " * 1024

    limit = config.max_body_bytes
    for content in (b" " * (limit + 1), chunks()):
        answer = await client.post("/v1/embeddings", content=content, headers=JSON)
        assert answer.status_code == 413
        assert answer.json()["error"]["code"] == "request_too_large"
        assert str(limit) in answer.json()["error"]["message"]
    body = json.dumps(CHAT).encode()
    fits = await client.post("/v1/chat/completions", content=body + b" " * (limit - len(body)), headers=JSON)
    assert fits.status_code == 200


# ---------------------------------------------------------------- fields


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("chat/completions", {}, "model"),
        ("chat/completions", {"model": "mock"}, "messages"),
        ("chat/completions", {"model": "mock", "messages": []}, "messages"),
        ("chat/completions", {**CHAT, "messages": [{"role": "king"}]}, "messages.0.role"),
        ("chat/completions", {**CHAT, "messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
        (
            "chat/completions",
            {**CHAT, "messages": [{"role": "user", "content": [{"type": "text"}]}]},
            "messages.0.content.0.text",
        ),
        ("chat/completions", {**CHAT, "temperature": "hot"}, "temperature"),
        ("chat/completions", {**CHAT, "max_tokens": 0}, "max_tokens"),
        ("chat/completions", {**CHAT, "max_tokens": 2**40}, "max_tokens"),
        ("chat/completions", {**CHAT, "max_tokens": True}, "max_tokens"),
        ("chat/completions", {**CHAT, "seed": 2**80}, "seed"),
        ("chat/completions", {**CHAT, "temperature": 10**400}, "temperature"),
        ("chat/completions", {**CHAT, "stream": "yes"}, "stream"),
        ("chat/completions", {**CHAT, "tools": [{"type": "function"}]}, "tools.0.function"),
        ("completions", {"model": "mock", "prompt": ""}, "prompt"),
        ("completions", {"model": "mock", "prompt": ["a", 1]}, "prompt.1"),
        ("embeddings", {"model": "embed", "input": ""}, "input.0"),
        ("embeddings", {"model": "embed", "input": []}, "input"),
        ("embeddings", {"model": "embed", "input": ["a", ""]}, "input.1"),
        ("embeddings", {"model": "embed", "input": ["a", 5]}, "input.1"),
        ("embeddings", {"model": "embed", "input": [-1]}, "input.0"),
        ("embeddings", {"model": "embed", "input": ["a"] * 17}, "input"),
        ("embeddings", {"model": "embed", "input": "a", "dimensions": 4}, "dimensions"),
        ("embeddings", {"model": "embed", "input": "a " * 300}, "input.0"),
        ("knowledge/search", {"query": ""}, "query"),
        ("knowledge/search", {"query": "a", "mode": "psychic"}, "mode"),
        ("knowledge/search", {"query": "a", "kk": 1}, "kk"),
        ("knowledge/search", {"query": "a", "filters": {"source": [1]}}, "filters.source.0"),
        ("agent/answers", {"question": "a", "k": 0}, "k"),
        ("agent/answers", {"question": " "}, "question"),
    ],
)
async def test_a_faulty_field_is_named(client, path, body, param) -> None:
    answer = await client.post(f"/v1/{path}", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


async def test_names_that_are_not_served(client) -> None:
    for path, body in (
        ("chat/completions", CHAT),
        ("completions", {"prompt": "a"}),
        ("embeddings", {"input": "a"}),
    ):
        missing = await client.post(f"/v1/{path}", json={**body, "model": "nobody"})
        assert missing.status_code == 404
        assert "embed, manta, mock" in missing.json()["error"]["message"]
        left_out = await client.post(f"/v1/{path}", json={**body, "model": "big"})
        assert left_out.status_code == 404
        assert "manta models pull big" in left_out.json()["error"]["message"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("chat/completions", {**CHAT, "model": "embed"}),
        ("completions", {"model": "embed", "prompt": "a"}),
        ("completions", {"model": "manta", "prompt": "a"}),
        ("embeddings", {"model": "mock", "input": "a"}),
    ],
)
async def test_a_model_at_the_wrong_endpoint_says_where_it_serves(client, path, body) -> None:
    answer = await client.post(f"/v1/{path}", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "model"
    assert f"not /v1/{path}" in answer.json()["error"]["message"]


async def test_unknown_paths_and_methods_have_openais_shape(client) -> None:
    missing = await client.get("/v1/nothing")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")
    assert missing.headers["x-request-id"]
    assert (await client.post("/v1/models/", json={})).status_code in (404, 405)
    wrong = await client.get("/v1/chat/completions")
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (405, "method_not_allowed")
    assert wrong.headers["allow"] == "POST"


async def test_what_nobody_foresaw_is_500_without_its_insides(client, services, caplog) -> None:
    class Broken:
        async def respond(self, endpoint, body, context):
            raise ZeroDivisionError("secret detail")

    services.models["mock"] = Broken()
    answer = await client.post("/v1/chat/completions", json=CHAT, headers={"x-request-id": "find-me"})
    assert answer.status_code == 500
    assert "find-me" in answer.json()["error"]["message"]
    assert "secret" not in answer.text
    assert "ZeroDivisionError" in caplog.text
    assert "find-me" in caplog.text


async def test_the_api_page_describes_the_bodies(app) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://manta") as one:
        page = (await one.get("/openapi.json")).json()
    body = page["paths"]["/v1/chat/completions"]["post"]["requestBody"]["content"]["application/json"]
    assert "messages" in body["schema"]["required"]
    documents = page["paths"]["/v1/knowledge/documents"]["post"]
    assert "$ref" not in json.dumps(documents["requestBody"])


def test_every_served_name_has_an_endpoint(services) -> None:
    app = create_app(IngressConfig(), services)
    assert {"/v1/chat/completions", "/v1/embeddings", "/readyz"} <= set(app.openapi()["paths"])
