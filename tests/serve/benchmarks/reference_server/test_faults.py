"""The reference server does wrong what it is asked to do wrong, and nothing else."""

from __future__ import annotations

from pathlib import Path

import httpx
import msgspec
import pytest
from reference_wire import DONE, LAST_CHUNK, NUM_TOKENS, Wire, dechunked, only_request, texts

from benchmarks.reference_server.faults import FAULTS
from benchmarks.reference_server.process import ReferenceServer, running
from benchmarks.reference_server.served import Ending, read_log


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
        received = wire.read_until(LAST_CHUNK if is_stream else b"}}", received)
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
