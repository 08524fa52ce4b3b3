"""Whatever is sent, the answer is never a 500, and what is refused is refused in OpenAI's shape."""

import json
from urllib.parse import quote

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

PATHS = [
    "chat/completions",
    "completions",
    "embeddings",
    "agent/answers",
    "knowledge/documents",
    "knowledge/documents/delete",
    "knowledge/sync/plan",
    "knowledge/search",
]
# Field names that mean something, so that the values get past the first check.
FIELDS = [
    *("model", "messages", "prompt", "input", "role", "content", "type", "text", "stream", "stream_options"),
    *(
        "include_usage",
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "seed",
    ),
    *("stop", "n", "tools", "tool_choice", "response_format", "logprobs", "logit_bias", "encoding_format"),
    *(
        "dimensions",
        "truncate",
        "input_type",
        "question",
        "agent",
        "k",
        "filters",
        "source",
        "documents",
        "path",
    ),
    *("content_base64", "media_type", "metadata", "ids", "query", "mode", "user"),
]
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(2**70), max_value=2**70)
    | st.floats()  # NaN and infinities, too: json.dumps writes them
    | st.text(max_size=20)
    | st.sampled_from(["mock", "embed", "manta", "big", "user", "text", "hybrid", "base64", "YQ=="])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=12,
)
bodies = st.dictionaries(st.sampled_from(FIELDS), values, max_size=8)

# The application holds no state that one example leaves to the next, but for the fake base's documents.
fuzz = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _check(answer: httpx.Response) -> None:
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        error = answer.json()["error"]
        assert error["message"]
        assert error["type"] == "invalid_request_error"


@fuzz
@given(path=st.sampled_from(PATHS), body=bodies)
async def test_any_object(client, path, body) -> None:
    content = json.dumps(body).encode()
    _check(await client.post(f"/v1/{path}", content=content, headers={"content-type": "application/json"}))


@fuzz
@given(path=st.sampled_from(PATHS), body=bodies, base=st.sampled_from(["mock", "embed", "manta"]))
async def test_a_good_request_with_anything_added(client, path, body, base) -> None:
    good = {
        "model": base,
        "messages": [{"role": "user", "content": "hi"}],
        "prompt": "hi",
        "input": ["hi"],
        "max_tokens": 3,
    }
    # A number of tokens that hypothesis draws may be billions; the mock engine would make them all.
    body = {key: value for key, value in body.items() if key not in ("max_tokens", "max_completion_tokens")}
    content = json.dumps({**good, **body}).encode()
    _check(await client.post(f"/v1/{path}", content=content, headers={"content-type": "application/json"}))


@fuzz
@given(
    path=st.sampled_from(PATHS),
    content=st.binary(max_size=60)
    | st.text(alphabet='{}[]":,\\ude0123 truefalsn', max_size=60).map(str.encode),
)
async def test_any_bytes(client, path, content) -> None:
    answer = await client.post(f"/v1/{path}", content=content, headers={"content-type": "application/json"})
    _check(answer)


@fuzz
@given(
    headers=st.dictionaries(
        st.sampled_from(
            ["x-request-id", "x-manta-tenant", "x-request-timeout-s", "x-manta-priority", "traceparent"]
        ),
        # What HTTP lets through: visible latin-1, no line ends.
        st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=255), max_size=40),
        max_size=5,
    ),
    path=st.sampled_from(["/v1/knowledge/status", "/v1/models", "/healthz", "/v1/knowledge/documents"]),
)
async def test_any_headers(client, headers, path) -> None:
    _check(
        await client.get(path, headers=[(name, value.encode("latin-1")) for name, value in headers.items()])
    )


@fuzz
@given(path=st.text(max_size=30), method=st.sampled_from(["GET", "POST", "DELETE", "PUT", "HEAD", "OPTIONS"]))
async def test_any_path(client, path, method) -> None:
    answer = await client.request(method, "http://manta/v1/" + quote(path))
    if method != "HEAD":
        _check(answer)
    assert answer.status_code < 500
