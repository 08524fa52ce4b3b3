"""The reference server serves what clients expect."""

from __future__ import annotations

import itertools

import httpx
import openai
import pytest
from reference_wire import DONE, LAST_CHUNK, NUM_TOKENS, Wire, dechunked, request, texts

from benchmarks.reference_server.process import ReferenceServer, running
from benchmarks.reference_server.served import read_log


async def test_the_official_client_works_unchanged(server: ReferenceServer) -> None:
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
        stream = await client.chat.completions.create(
            model="any",
            messages=[{"role": "user", "content": "one two three"}],
            max_tokens=5,
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
        assert len([chunk for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]) == 5
        assert chunks[0].choices[0].delta.role == "assistant"
        assert chunks[-2].choices[0].finish_reason == "length"
        assert chunks[-1].usage is not None
        assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (3, 5)
        chat = await client.chat.completions.create(model="any", messages=[{"role": "user", "content": "Hi"}])
        assert chat.usage is not None
        assert len((chat.choices[0].message.content or "").split()) == chat.usage.completion_tokens == 32
        completion = await client.completions.create(model="any", prompt="Hi", max_tokens=3)
        assert len(completion.choices[0].text.split()) == 3
        embeddings = await client.embeddings.create(model="any", input=["a", "b"])
        assert [len(entry.embedding) for entry in embeddings.data] == [8, 8]
        assert [model.id async for model in client.models.list()] == ["reference"]
        with pytest.raises(openai.RateLimitError):
            await client.with_options(max_retries=0).completions.create(model="error-429", prompt="Hi")


def test_tokenize_counts_as_usage_does(server: ReferenceServer) -> None:
    text = "  one two\nthree  "
    with httpx.Client(base_url=server.url) as client:
        counted = client.post("/tokenize", json={"model": "m", "prompt": text}).json()["count"]
        usage = client.post("/v1/completions", json={"model": "m", "prompt": text}).json()["usage"]
    assert counted == usage["prompt_tokens"] == 3


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("GET", "/nowhere", b"", 404),
        ("GET", "/v1/chat/completions", b"", 405),
        ("POST", "/v1/chat/completions", b"{", 400),
        ("POST", "/v1/embeddings", b'{"model": "m"}', 400),
    ],
)
def test_what_cannot_be_answered_is_refused_on_a_connection_that_lives_on(
    server: ReferenceServer, method: str, path: str, content: bytes, status: int
) -> None:
    with Wire(server) as wire:
        head = f"{method} {path} HTTP/1.1\r\nContent-Length: {len(content)}\r\n\r\n"
        wire.socket.sendall(head.encode() + content)
        refusal = wire.read_until(b"}}")
        assert refusal.startswith(b"HTTP/1.1 %d " % status)
        wire.socket.sendall(b"GET /health HTTP/1.1\r\n\r\n")
        assert wire.read_until(b"{}").startswith(b"HTTP/1.1 200 OK")


def test_what_is_not_http_is_refused_and_closed(server: ReferenceServer) -> None:
    with Wire(server) as wire:
        wire.socket.sendall(b"\x16\x03\x01\r\n\r\n")
        assert wire.read_to_close().startswith(b"HTTP/1.1 400 ")


def test_requests_may_come_in_pieces_and_several_at_once(server: ReferenceServer) -> None:
    with Wire(server) as wire:
        sent = (
            request("m", request_id="one") + request("m", request_id="two") + request("m", request_id="three")
        )
        for start in range(0, len(sent), 100):
            wire.socket.sendall(sent[start : start + 100])
        answers = b""
        while answers.count(LAST_CHUNK) < 3:
            answers += wire.read_until(LAST_CHUNK)
    server.stop()
    log = read_log(server.log_path)
    assert [served.request_id for served in log] == ["one", "two", "three"]
    assert answers.count(DONE) == 3
    for one, other in itertools.pairwise(log):
        assert other.start_ns is not None
        assert other.start_ns >= one.end_ns


def test_a_long_prompt_is_read_whole(server: ReferenceServer) -> None:
    with httpx.Client(base_url=server.url) as client:
        prompt = "word " * 500_000
        answer = client.post("/v1/completions", json={"model": "m", "prompt": prompt, "max_tokens": 1})
    assert answer.json()["usage"]["prompt_tokens"] == 500_000


def test_a_client_that_asks_to_close_is_closed(server: ReferenceServer) -> None:
    with Wire(server) as wire:
        wire.socket.sendall(b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert wire.read_to_close().endswith(b"{}")


def test_a_client_that_reads_late_gets_every_token() -> None:
    num_tokens = 40_000  # more than the sockets' buffers hold
    with running(ttft_ms=0, tpot_ms=0) as server, Wire(server, receive_buffer_bytes=65_536) as wire:
        wire.ask("m", max_tokens=num_tokens)
        wire.socket.recv(1)
        with Wire(server) as other:  # it is answered while the first is stuck
            other.ask("m")
            other.read_until(LAST_CHUNK)
        _, body, is_whole = dechunked(b"H" + wire.read_until(LAST_CHUNK))
        assert is_whole
        assert len(texts(body)) == num_tokens
        server.stop()
        assert [served.num_tokens for served in read_log(server.log_path)] == [NUM_TOKENS, num_tokens]
