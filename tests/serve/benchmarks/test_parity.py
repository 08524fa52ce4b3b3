"""Parity of two servers on loopback, one of which lies in known ways."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from benchmarks.errors import BadTarget
from benchmarks.parity import run
from benchmarks.parity.cases import Case, read_cases
from benchmarks.parity.run import compare

Reply = tuple[int, str, bytes]  # status, media type, body
Lie = Callable[[Reply], Reply]

_IDS = count(1)


def _json(status: int, document: Any) -> Reply:
    return status, "application/json", json.dumps(document).encode()


def _stream(*events: Any, done: bool = True) -> Reply:
    lines = [f"data: {json.dumps(event)}\n\n" for event in events] + (["data: [DONE]\n\n"] if done else [])
    return 200, "text/event-stream; charset=utf-8", "".join(lines).encode()


def honest(path: str, body: Any) -> Reply:
    """As an OpenAI server: each answer with a new id and another time; streams cut differently each time."""
    number = next(_IDS)
    envelope = {"id": f"chatcmpl-{number:024x}", "created": 1_763_000_000 + number, "model": "chat"}
    if not isinstance(body, dict) or body.get("temperature") == -1:
        return _json(400, {"error": {"message": "temperature must be at least 0", "code": 400}})
    if path == "/v1/embeddings":
        return _json(200, {"data": [{"embedding": [0.25, -0.5]}], "usage": {"prompt_tokens": 2}})
    if not body.get("stream"):
        choice = {
            "index": 0,
            "message": {"content": "one two"},
            "logprobs": {"content": [{"logprob": -0.25}]},
        }
        return _json(200, envelope | {"choices": [choice], "usage": {"completion_tokens": 2}})
    words = ["one", " two"] if number % 2 else ["one two"]
    chunks = [envelope | {"choices": [{"index": 0, "delta": {"content": word}}]} for word in words]
    begin = envelope | {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}
    end = envelope | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    return _stream(begin, *chunks, end, envelope | {"choices": [], "usage": {"completion_tokens": 2}})


@contextmanager
def serving(lie: Lie | None = None) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_args: object) -> None:
            return

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            try:
                body = json.loads(content)
            except ValueError:
                body = None
            self._answer(honest(self.path, body))

        def do_GET(self) -> None:
            self._answer(_json(200, {"data": [{"id": "chat", "created": 1}]}))

        def _answer(self, reply: Reply) -> None:
            status, media_type, body = lie(reply) if lie else reply
            self.send_response(status)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def case(name: str, path: str = "/v1/chat/completions", **body: Any) -> Case:
    return Case(name, "generate", "POST", path, json.dumps({"model": "chat"} | body).encode())


CASES = [
    case("plain"),
    case("stream", stream=True),
    case("error", temperature=-1),
    case("embeddings", path="/v1/embeddings"),
]


def replacing(old: str, new: str) -> Lie:
    return lambda reply: (reply[0], reply[1], reply[2].replace(old.encode(), new.encode()))


LIES: dict[str, tuple[Lie, set[str]]] = {
    "another word": (replacing("two", "too"), {"plain", "stream"}),
    "another error": (replacing("at least 0", "above 0"), {"error"}),
    "another status": (lambda reply: (422 if reply[0] == 400 else reply[0], *reply[1:]), {"error"}),
    "another media type": (
        lambda reply: (reply[0], "text/plain", reply[2]),
        {"plain", "stream", "error", "embeddings"},
    ),
    "another kind of id": (replacing('"chatcmpl-', '"cmpl-'), {"plain", "stream"}),
    "a count as text": (replacing('"completion_tokens": 2', '"completion_tokens": "2"'), {"plain", "stream"}),
    "a field more": (replacing('"model": ', '"extra": 1, "model": '), {"plain", "stream"}),
    "a field less": (replacing('"usage": {"prompt_tokens": 2}', '"other": 1'), {"embeddings"}),
    "another probability": (replacing("-0.25", "-0.26"), {"plain"}),
    "another vector": (replacing("[0.25, -0.5]", "[0.25, -0.51]"), {"embeddings"}),
    "a vector of another length": (replacing("[0.25, -0.5]", "[0.25]"), {"embeddings"}),
    "no end of the stream": (replacing("data: [DONE]\n\n", ""), {"stream"}),
    "another reason to finish": (replacing('"stop"', '"length"'), {"stream"}),
    "no role": (replacing('"role": "assistant", ', ""), {"stream"}),
    "no usage": (replacing('"choices": [], "usage": {"completion_tokens": 2}', '"choices": []'), {"stream"}),
    "an event that is no JSON": (replacing('data: {"id"', "data: {id"), {"stream"}),
    "a cut stream": (
        lambda r: (r[0], r[1], r[2][:-20] if r[1].startswith("text/event") else r[2]),
        {"stream"},
    ),
}


def test_a_server_is_equal_to_another_that_is_the_same() -> None:
    with serving() as bare, serving() as manta:
        verdicts = list(compare(CASES, {"generate": bare}, manta, 1e-5))
    assert {verdict.case: verdict.outcome for verdict in verdicts} == {one.name: "equal" for one in CASES}


@pytest.mark.parametrize("name", LIES)
def test_each_lie_is_found_where_it_is(name: str) -> None:
    lie, cases = LIES[name]
    with serving() as bare, serving(lie) as manta:
        verdicts = list(compare(CASES, {"generate": bare}, manta, 1e-5))
    assert {verdict.case for verdict in verdicts if verdict.outcome == "different"} == cases
    assert {verdict.outcome for verdict in verdicts if verdict.case not in cases} <= {"equal"}


def test_a_bare_server_that_does_not_repeat_itself_proves_nothing() -> None:
    numbers = count()

    def moody(reply: Reply) -> Reply:
        return reply[0], reply[1], reply[2].replace(b"two", str(next(numbers)).encode())

    with serving(moody) as bare, serving() as manta:
        (verdict,) = compare(CASES[:1], {"generate": bare}, manta, 1e-5)
    assert verdict.outcome == "unstable"


def test_what_no_server_has_is_not_asked() -> None:
    with serving() as manta:
        assert list(compare(CASES, {}, manta, 1e-5)) == []


def test_a_server_that_is_not_there_is_named(free_port: Callable[[], int]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(BadTarget, match=f"{url}: plain: "):
        list(compare(CASES[:1], {"generate": url}, url, 1e-5))


def asked(bare: str, manta: str, out: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> int:
    words = ["--manta", manta, "--bare", bare, "--pooling-bare", bare, "--out", str(out), *more]
    monkeypatch.setattr(sys, "argv", ["parity", *words])
    with pytest.raises(SystemExit) as ended:
        run.main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_the_command_reports_and_says_by_its_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    num_cases = len(read_cases({"$model": "chat", "$pooling_model": "pooling"}))
    with serving() as bare, serving() as manta:
        assert asked(bare, manta, tmp_path, monkeypatch) == 0
    assert (
        f"{num_cases} requests: {num_cases} equal, 0 different by design, 0 different"
        in capsys.readouterr().out
    )
    with serving() as bare, serving(replacing("two", "too")) as liar:
        assert asked(bare, liar, tmp_path, monkeypatch) == 1
    shown = capsys.readouterr().out
    assert "chat-plain (status 200) differs:" in shown
    assert "body.choices.0.message.content: 'one too' instead of 'one two'" in shown
    (folder, second) = sorted(tmp_path.iterdir())
    assert json.loads((folder / "summary.json").read_text())["parity"] == 1.0
    records = [json.loads(line) for line in (second / "records.jsonl").read_text().splitlines()]
    assert len(records) == num_cases
    assert any(record["outcome"] == "different" for record in records)
    assert (second / "report.txt").read_text().strip() in shown


def test_the_command_without_servers_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_port: Callable[[], int]
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    assert asked(url, url, tmp_path, monkeypatch) == 2
