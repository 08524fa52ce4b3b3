"""The reference server over real sockets: it serves what clients expect, does wrong what it is asked to
do wrong, and its log tells the truth."""

from __future__ import annotations

import itertools
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import openai
import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.reference_server.faults import FAULTS
from benchmarks.reference_server.process import ReferenceServer, running
from benchmarks.reference_server.served import Ending, ServedRequest, read_log, read_summaries

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the reference server needs Linux")

NUM_TOKENS = 8
DONE = b"data: [DONE]\n\n"
LAST_CHUNK = b"0\r\n\r\n"


@pytest.fixture
def server() -> Iterator[ReferenceServer]:
    with running(ttft_ms=4, tpot_ms=1) as server:
        yield server


class Wire:
    """A connection of bytes, for what no HTTP client would let through."""

    def __init__(self, server: ReferenceServer, *, receive_buffer_bytes: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self.socket.settimeout(30)
        self.socket.connect(("127.0.0.1", httpx.URL(server.url).port))

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def ask(self, model: str, **fields: Any) -> None:
        self.socket.sendall(request(model, **fields))

    def read_until(self, end: bytes) -> bytes:
        received = bytearray()
        while not received.endswith(end):
            data = self.socket.recv(65_536)
            assert data, received
            received += data
        return bytes(received)

    def read_to_close(self) -> bytes:
        received = bytearray()
        self.read_into(received)
        return bytes(received)

    def read_into(self, received: bytearray) -> None:
        """Everything to the connection's end; what came before a reset is in `received`."""
        while data := self.socket.recv(65_536):
            received += data

    def has_something(self) -> bool:
        return bool(select.select([self.socket], [], [], 0)[0])


def request(
    model: str, *, path: str = "/v1/chat/completions", request_id: str | None = None, **fields: Any
) -> bytes:
    document = {"model": model, "stream": True, "max_tokens": NUM_TOKENS}
    document["messages"] = [{"role": "user", "content": "How are you?"}]
    body = msgspec.json.encode(document | fields)
    named = f"X-Request-Id: {request_id}\r\n" if request_id else ""
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\n{named}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def dechunked(answer: bytes) -> tuple[bytes, bytes, bool]:
    """The head, the body, and whether the body was ended as HTTP wants it."""
    head, _, rest = answer.partition(b"\r\n\r\n")
    body, at = bytearray(), 0
    while at < len(rest):
        start = rest.index(b"\r\n", at) + 2
        length = int(rest[at:start], 16)
        if length == 0:
            return head, bytes(body), rest[start:] == b"\r\n"
        body += rest[start : start + length]
        at = start + length + 2
    return head, bytes(body), False


def texts(body: bytes) -> list[str]:
    """Non-empty texts of the events of a chat."""
    events = [event for event in body.split(b"\n\n") if event.startswith(b"data: {")]
    choices = [choice for event in events for choice in msgspec.json.decode(event[6:]).get("choices", [])]
    return [text for choice in choices if (text := choice["delta"].get("content"))]


def only_request(server: ReferenceServer) -> ServedRequest:
    server.stop()
    (served,) = read_log(server.log_path)
    return served


# ---------------------------------------------------------------- what clients expect


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


# ---------------------------------------------------------------- the log tells the truth


def test_the_log_has_the_same_clock_and_the_same_count_as_the_client(server: ReferenceServer) -> None:
    with Wire(server) as wire:
        before_ns = time.perf_counter_ns()
        wire.ask("m", request_id="Mine-1", max_tokens=20)
        received = wire.read_until(LAST_CHUNK)
        after_ns = time.perf_counter_ns()
    served = only_request(server)
    assert (served.request_id, served.num_tokens, served.num_prompt_tokens) == ("Mine-1", 20, 3)
    assert (served.ending, served.status, served.is_stream) == (Ending.COMPLETE, 200, True)
    assert served.first_due_ns is not None
    assert served.first_token_ns is not None
    assert served.last_token_ns is not None
    assert served.start_ns is not None
    times = (before_ns, served.first_byte_ns, served.complete_ns, served.start_ns)
    times += (served.first_due_ns, served.first_token_ns, served.last_token_ns, after_ns)
    assert list(times) == sorted(times)
    assert served.end_ns >= served.last_token_ns
    assert served.first_due_ns == served.complete_ns + 4_000_000
    assert served.last_token_ns >= served.first_due_ns + 19 * 1_000_000  # never early
    assert len(texts(dechunked(received)[1])) == 20
    (summary,) = read_summaries(server.log_path)
    assert (summary.num_requests, summary.num_tokens) == (1, 20)
    assert f"served 1 requests with {summary.num_tokens} tokens" in server.said


def test_a_client_that_leaves_is_logged_with_what_it_was_sent(server: ReferenceServer) -> None:
    with Wire(server) as wire:
        wire.ask("never-ends")
        while wire.read_until(b"\n").count(b"data: ") < 1:
            pass
    server.stop()
    (served,) = read_log(server.log_path)
    assert served.ending is Ending.CLIENT_LEFT
    assert served.num_tokens >= 1


def test_a_stopped_server_logs_what_it_left_undone(server: ReferenceServer) -> None:
    with Wire(server) as wire:
        wire.ask("never-ends")
        wire.read_until(b"\n")
        served = only_request(server)
        assert served.ending is Ending.STOPPED
        assert not wire.read_to_close().endswith(LAST_CHUNK)


def test_a_paused_server_reads_nothing_until_it_goes_on(server: ReferenceServer) -> None:
    with Wire(server) as wire:
        server.pause()
        wire.ask("m")
        assert not wire.has_something()
        before_ns = time.perf_counter_ns()
        server.resume()
        wire.read_until(LAST_CHUNK)
    assert only_request(server).first_byte_ns > before_ns


def test_a_paused_server_can_be_stopped(server: ReferenceServer) -> None:
    server.pause()
    server.stop()
    assert "served 0 requests" in server.said


def test_answers_beyond_the_limit_wait_in_order() -> None:
    with running(ttft_ms=3, tpot_ms=1, max_concurrent=1) as server:
        wires = [Wire(server) for _ in range(4)]
        for number, wire in enumerate(wires):
            wire.ask("m", request_id=str(number))
            # The head is sent before the wait: then the request is in the queue.
            wire.read_until(b"\r\n\r\n") if number == 3 else wire.socket.recv(1)
        wires[2].socket.close()  # who leaves the queue holds up nobody
        for number in (0, 1, 3):
            wires[number].read_until(LAST_CHUNK)
            wires[number].socket.close()
        server.stop()
        log = {served.request_id: served for served in read_log(server.log_path)}
    assert log["2"].ending is Ending.CLIENT_LEFT
    assert log["2"].start_ns is None
    for before, after in (("0", "1"), ("1", "3")):
        start_ns = log[after].start_ns
        assert start_ns is not None
        assert start_ns >= log[before].end_ns > log[after].complete_ns


def test_processes_share_a_port_and_a_log() -> None:
    with running(ttft_ms=1, tpot_ms=1, processes=2) as server:
        for _ in range(30):
            with Wire(server) as wire:
                wire.ask("m")
                wire.read_until(LAST_CHUNK)
        server.pause()
        with Wire(server) as wire:
            wire.ask("m")
            assert not wire.has_something()
            server.resume()
            wire.read_until(LAST_CHUNK)
        server.stop()
        assert {summary.process for summary in read_summaries(server.log_path)} == {0, 1}
        assert [line.startswith("served ") for line in server.said.splitlines()] == [True, True]
        # 30 connections that all fall to the same process: one in 2^29.
        assert {served.process for served in read_log(server.log_path)} == {0, 1}
        assert len(read_log(server.log_path)) == 31


# ---------------------------------------------------------------- faults


def test_half_a_stream_ends_without_an_end(server: ReferenceServer) -> None:
    with Wire(server) as wire:
        wire.ask("half")
        _, body, is_whole = dechunked(wire.read_to_close())
    assert len(texts(body)) == NUM_TOKENS // 2
    assert DONE not in body
    assert b'"finish_reason":"' not in body
    assert not is_whole


def test_half_a_body_is_shorter_than_promised(server: ReferenceServer) -> None:
    with (
        httpx.Client() as client,
        pytest.raises(httpx.RemoteProtocolError, match="without sending complete"),
    ):
        client.post(f"{server.url}/v1/completions", json={"model": "half", "prompt": "Hi"})


def test_no_done_has_everything_else(server: ReferenceServer) -> None:
    with Wire(server) as wire:
        wire.ask("no-done", stream_options={"include_usage": True})
        _, body, is_whole = dechunked(wire.read_until(LAST_CHUNK))
    assert is_whole
    assert len(texts(body)) == NUM_TOKENS
    assert DONE not in body
    assert b'"usage":{' in body


def test_never_ends_goes_on_beyond_what_was_asked_for(server: ReferenceServer) -> None:
    with Wire(server) as wire:
        wire.ask("never-ends", max_tokens=1)
        received = b""
        while received.count(b'"content":" ') < 50:
            received += wire.socket.recv(65_536)


def test_silent_says_nothing_and_holds_up_nobody(server: ReferenceServer) -> None:
    with Wire(server) as silent, Wire(server) as other:
        silent.ask("silent")
        other.ask("m")
        other.read_until(LAST_CHUNK)
        assert not silent.has_something()
    server.stop()
    endings = {served.model: (served.ending, served.status) for served in read_log(server.log_path)}
    assert endings == {"silent": (Ending.CLIENT_LEFT, None), "m": (Ending.COMPLETE, 200)}


def test_no_usage_keeps_it_from_streams_and_bodies(server: ReferenceServer) -> None:
    with Wire(server) as wire:
        wire.ask("no-usage", stream_options={"include_usage": True})
        answer = wire.read_until(LAST_CHUNK)
    assert DONE in answer
    assert b'"usage"' not in answer
    whole = httpx.post(f"{server.url}/v1/completions", json={"model": "no-usage", "prompt": "Hi"})
    assert "usage" not in whole.json()
    assert whole.json()["choices"]


def test_reset_breaks_the_connection_amid_the_stream(server: ReferenceServer) -> None:
    received = bytearray()
    with Wire(server) as wire:
        wire.ask("reset")
        with pytest.raises(ConnectionResetError):
            wire.read_into(received)
    assert received.count(b'"content":" ') == NUM_TOKENS // 2
    with Wire(server) as wire:
        wire.ask("reset", stream=False)
        with pytest.raises(ConnectionResetError):
            wire.socket.recv(1)


@pytest.mark.parametrize("is_stream", [True, False])
def test_errors_have_their_status_and_openais_form(server: ReferenceServer, *, is_stream: bool) -> None:
    with httpx.Client(base_url=server.url) as client:
        fields = {"prompt": "Hi", "stream": is_stream}
        failed = client.post("/v1/completions", json={"model": "error-500"} | fields)
        busy = client.post("/v1/completions", json={"model": "error-429"} | fields)
    assert (failed.status_code, failed.json()["error"]["type"]) == (500, "server_error")
    assert (busy.status_code, busy.headers["retry-after"]) == (429, "1")
    server.stop()
    assert [served.status for served in read_log(server.log_path)] == [500, 429]


def test_error_event_comes_amid_a_stream(server: ReferenceServer) -> None:
    with Wire(server) as wire:
        wire.ask("error-event")
        _, body, is_whole = dechunked(wire.read_until(LAST_CHUNK))
    *_, error, done, _ = body.split(b"\n\n")
    assert msgspec.json.decode(error.removeprefix(b"data: "))["error"]["code"] == 500
    assert done == b"data: [DONE]"
    assert is_whole
    assert len(texts(body)) == NUM_TOKENS // 2


def test_bad_json_is_one_event_among_good_ones(server: ReferenceServer) -> None:
    with Wire(server) as wire:
        wire.ask("bad-json")
        _, body, is_whole = dechunked(wire.read_until(LAST_CHUNK))
    assert is_whole
    num_bad = 0
    for event in body.removesuffix(DONE).removesuffix(b"\n\n").split(b"\n\n"):
        try:
            msgspec.json.decode(event.removeprefix(b"data: "))
        except msgspec.DecodeError:
            num_bad += 1
    assert num_bad == 1
    assert body.count(b'"content":" ') == NUM_TOKENS
    whole = httpx.post(f"{server.url}/v1/completions", json={"model": "bad-json", "prompt": "Hi"})
    assert whole.status_code == 200
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(whole.content)


def test_bad_http_is_none(server: ReferenceServer) -> None:
    with Wire(server) as wire:
        wire.ask("bad-http")
        assert not wire.read_to_close().startswith(b"HTTP/")
    assert only_request(server).status is None


@pytest.mark.parametrize("is_stream", [True, False])
def test_slow_headers_come_in_pieces_and_are_right(server: ReferenceServer, *, is_stream: bool) -> None:
    num_reads = 0
    received = b""
    with Wire(server) as wire:
        wire.ask("slow-headers", stream=is_stream)
        while b"\r\n\r\n" not in received:
            received += wire.socket.recv(65_536)
            num_reads += 1
        received += wire.read_until(LAST_CHUNK if is_stream else b"}}")
    assert num_reads > 1
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    if is_stream:
        assert len(texts(dechunked(received)[1])) == NUM_TOKENS


def test_joined_has_every_token(server: ReferenceServer) -> None:
    with Wire(server) as wire:
        wire.ask("joined")
        _, body, is_whole = dechunked(wire.read_until(LAST_CHUNK))
    assert is_whole
    assert len(texts(body)) == NUM_TOKENS


def test_split_cuts_characters_over_chunks_and_reads(server: ReferenceServer) -> None:
    pieces = []
    with Wire(server) as wire:
        wire.ask("split")
        while not pieces or not pieces[-1].endswith(LAST_CHUNK):
            pieces.append(wire.socket.recv(65_536))
    _, body, is_whole = dechunked(b"".join(pieces))
    assert is_whole
    found = texts(body)
    assert len(found) == NUM_TOKENS
    assert all(text.endswith("\N{HIRAGANA LETTER A}") for text in found)
    # Whatever joined on the way, the chunks themselves are cut within the character.
    assert b"".join(pieces).count("\N{HIRAGANA LETTER A}".encode()[:1] + b"\r\n") == NUM_TOKENS


def test_no_chunking_ends_with_the_connection(server: ReferenceServer) -> None:
    with Wire(server) as wire:
        wire.ask("no-chunking")
        head, _, body = wire.read_to_close().partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head
    assert b"connection: close" in head
    assert body.startswith(b"data: {")
    assert len(texts(body)) == NUM_TOKENS
    assert body.endswith(DONE)


@pytest.mark.parametrize("is_stream", [True, False])
def test_keepalive_close_says_it_stays_and_goes(server: ReferenceServer, *, is_stream: bool) -> None:
    with Wire(server) as wire:
        wire.ask("keepalive-close", stream=is_stream)
        answer = wire.read_to_close()
    assert b"connection: close" not in answer
    assert answer.endswith(LAST_CHUNK if is_stream else b"}}")


def test_role_first_sends_the_role_while_the_first_token_is_far() -> None:
    with running(ttft_ms=3_600_000) as server, Wire(server) as wire:
        wire.ask("role-first")
        assert b'"role":"assistant","content":""' in wire.read_until(b"\n\n\r\n")
        wire.socket.close()
        assert only_request(server).first_token_ns is None


def test_every_fault_is_tested_here() -> None:
    source = Path(__file__).read_text()
    assert [name for name in FAULTS if f'"{name}"' not in source] == []


@pytest.mark.parametrize("model", sorted(FAULTS))
def test_no_fault_harms_the_next_client(server: ReferenceServer, model: str) -> None:
    for is_stream in (True, False):
        with Wire(server) as wire:
            wire.ask(model, stream=is_stream)
    with Wire(server) as wire:
        wire.ask("m")
        assert DONE in wire.read_until(LAST_CHUNK)


# ---------------------------------------------------------------- starting and stopping


def test_the_ready_file_has_the_address(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    with running(ready_file=ready, log=tmp_path / "log.jsonl") as server:
        assert ready.read_text() == f"{server.url}\n"
        assert httpx.get(f"{server.url}/health").status_code == 200
    assert len(read_summaries(tmp_path / "log.jsonl")) == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"ttft_ms": -1}, "argument --ttft-ms: -1 is not between"),
        ({"no_such_flag": 1}, "unrecognized arguments: --no-such-flag=1"),
        ({"log": "/nowhere/log"}, "No such file or directory"),
        ({"ready_file": "/nowhere/ready"}, "No such file or directory"),
    ],
)
def test_a_server_that_cannot_start_says_why(flags: dict[str, object], message: str) -> None:
    with pytest.raises(BenchmarkError, match=message), running(**flags):  # type: ignore[arg-type]
        pass


def test_a_port_that_is_taken_is_said(server: ReferenceServer) -> None:
    port = httpx.URL(server.url).port
    assert port is not None
    with pytest.raises(BenchmarkError, match=f"port {port}: Address already in use"), running(port):
        pass


def test_a_server_that_died_is_an_error() -> None:
    with pytest.raises(BenchmarkError, match="failed"), running() as server:
        os.kill(server.process_id, signal.SIGKILL)


@pytest.mark.parametrize("processes", [1, 2])
def test_it_ends_with_its_standard_input(tmp_path: Path, processes: int) -> None:
    command = [sys.executable, "-m", "benchmarks.reference_server", "--stop-with-stdin"]
    command += [f"--processes={processes}", f"--log={tmp_path / 'log'}"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60)
    assert done.returncode == 1  # what cannot be waited for cannot end
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline().startswith(b"listening on http://127.0.0.1:")
        process.stdin.close()
        assert process.wait(timeout=60) == 0
        assert process.stdout.read().count(b"served 0 requests") == processes


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_well(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "benchmarks.reference_server"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(number)
        assert process.wait(timeout=60) == 0
        assert b"served 0 requests" in process.stdout.read()
