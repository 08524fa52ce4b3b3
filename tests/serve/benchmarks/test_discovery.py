"""What is found out about servers on loopback: good ones, poor ones and rude ones."""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from benchmarks.discovery.discover import Ask, Discovery, asks_of, discover, discover_with
from benchmarks.discovery.probe import Probe
from benchmarks.errors import BadTarget
from benchmarks.prompts.choose import open_prompts
from configs.workload import Workload

Body = dict[str, Any]
Script = Callable[["Fake", str, Body], Iterable[bytes]]
RESET = b"<reset>"


@dataclass
class Fake:
    """A server that answers by scripts of raw bytes, one for each path, and closes after each answer."""

    scripts: dict[str, Script]
    asked: list[tuple[str, Body]] = field(default_factory=list)
    is_stopping: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def answer(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as reader:
            line = reader.readline().decode()
            num_bytes = 0
            while (header := reader.readline().strip().lower()) != b"":
                name, _, value = header.partition(b":")
                num_bytes = int(value) if name == b"content-length" else num_bytes
            body = json.loads(reader.read(num_bytes) or b"{}")
        path = line.split()[1]
        self.asked.append((path, body))
        for piece in self.scripts.get(path, not_found)(self, path, body):
            if piece == RESET:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            connection.sendall(piece)


def whole(status: int, document: object, content_type: str = "application/json") -> bytes:
    body = document.encode() if isinstance(document, str) else json.dumps(document).encode()
    head = f"HTTP/1.1 {status} X\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n"
    return f"{head}connection: close\r\n\r\n".encode() + body


def always(*pieces: bytes) -> Script:
    return lambda fake, path, body: pieces


not_found = always(whole(404, {"detail": "Not Found"}))


def models(*names: str, **more: object) -> Script:
    return always(whole(200, {"object": "list", "data": [{"id": name, **more} for name in names]}))


def sse(*events: object) -> bytes:
    """An event stream whose end is the connection's."""
    data = "".join(f"data: {one if isinstance(one, str) else json.dumps(one)}\r\n\r\n" for one in events)
    return b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n" + data.encode()


def chat(
    *,
    refused: tuple[str, ...] = (),
    refusal: int = 400,
    num_made: int | None = None,
    has_usage: bool = True,
    end: tuple[str, ...] = ("[DONE]",),
) -> Script:
    """A chat and completions endpoint whose tokens are words, and whose template adds five."""

    def script(fake: Fake, path: str, body: Body) -> Iterable[bytes]:
        for name in refused:
            if name in body:
                return [whole(refusal, {"error": {"message": f"{name} is not supported"}})]
        text = body["messages"][0]["content"] if "messages" in body else body["prompt"]
        num_tokens = num_made or body["max_tokens"]
        usage = {"prompt_tokens": len(text.split()) + 5, "completion_tokens": num_tokens}
        if not body.get("stream"):
            return [whole(200, {"choices": [], **({"usage": usage} if has_usage else {})})]
        piece = {"delta": {"content": "yes "}} if "messages" in body else {"text": "yes "}
        events: list[object] = [{"choices": [piece]}] * num_tokens
        if has_usage and "stream_options" in body:
            events.append({"choices": [], "usage": usage})
        return [sse(*events, *end)]

    return script


@pytest.fixture
def start() -> Iterator[Callable[..., Fake]]:
    started: list[tuple[Fake, socketserver.ThreadingTCPServer]] = []

    def run(scripts: dict[str, Script]) -> Fake:
        fake = Fake(scripts)

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):  # the client left first
                    fake.answer(self.request)

        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        fake.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        started.append((fake, server))
        return fake

    yield run
    for fake, server in started:
        fake.is_stopping.set()
        server.shutdown()
        server.server_close()


CHAT = "/v1/chat/completions"


def look(fake: Fake, model: str | None = None, *asks: Ask, timeout_s: float = 10.0) -> Discovery:
    return discover(fake.url, (), None, model, timeout_s, asks=asks or (Ask("chat"),))


def test_a_good_server_is_known_after_few_questions(start: Callable[..., Fake]) -> None:
    fake = start({"/v1/models": models("tiny", max_model_len=4096), CHAT: chat()})
    found = look(fake)
    assert (found.model, found.can_hold_length) == ("tiny", True)
    assert found.models is not None
    assert found.models[0].context_tokens == 4096
    (ability,) = found.abilities
    assert ability.streams
    assert ability.streams_usage
    assert ability.ends_with_done
    assert ability.holds_length
    assert ability.takes == ("stream_options", "ignore_eos", "min_tokens")
    assert [path for path, _ in fake.asked] == ["/v1/models", CHAT, "/tokenize", "/tokenize"]
    assert list(found.notes) == [f"no /tokenize for tiny: POST {fake.url}/tokenize answered 404: Not Found"]
    json.dumps(found.found())


@pytest.mark.parametrize(
    ("refused", "takes"),
    [
        (("ignore_eos",), ("stream_options", "min_tokens")),
        (("min_tokens",), ("stream_options", "ignore_eos")),
        (("ignore_eos", "min_tokens"), ("stream_options",)),
        (("stream_options",), ("ignore_eos", "min_tokens")),
    ],
)
@pytest.mark.parametrize("refusal", [400, 422, 500])
def test_the_refused_field_is_found_and_noted(
    start: Callable[..., Fake], refused: tuple[str, ...], takes: tuple[str, ...], refusal: int
) -> None:
    fake = start({"/v1/models": models("tiny"), CHAT: chat(refused=refused, refusal=refusal)})
    found = look(fake)
    assert found.abilities[0].takes == takes
    assert found.can_hold_length == ({"ignore_eos", "min_tokens"} <= set(takes))
    assert found.abilities[0].streams_usage == ("stream_options" in takes)
    for name in refused:
        said = f"{CHAT} refuses {name} with {refusal}: {refused[0] if name in refused[:1] else name}"
        assert any(note.startswith(said) for note in found.notes)


def test_a_server_that_only_seems_to_hold_the_length_is_noted(start: Callable[..., Fake]) -> None:
    fake = start({"/v1/models": models("tiny"), CHAT: chat(num_made=3)})
    (ability,) = look(fake).abilities
    assert ability.can_hold_length
    assert ability.holds_length is False
    assert f"{CHAT} takes ignore_eos and min_tokens but made 3 tokens of 16" in ability.notes


@pytest.mark.parametrize(
    ("script", "note"),
    [
        (chat(has_usage=False), "has no usage"),
        (chat(end=()), "ends without [DONE]"),
        (always(sse({"choices": [{"delta": {}}]}, "[DONE]")), "has no text in 16 tokens"),
        (always(whole(200, {"usage": {"completion_tokens": 16}})), "does not stream"),
    ],
)
def test_what_is_missing_is_noted(start: Callable[..., Fake], script: Script, note: str) -> None:
    notes = look(start({"/v1/models": models("tiny"), CHAT: script})).notes
    assert any(note in one for one in notes)


def test_a_fault_that_went_away_is_not_hidden(start: Callable[..., Fake]) -> None:
    num_asked = 0

    def flaky(fake: Fake, path: str, body: Body) -> Iterable[bytes]:
        nonlocal num_asked
        num_asked += 1
        return [whole(502, "Bad Gateway")] if num_asked == 1 else chat()(fake, path, body)

    found = look(start({"/v1/models": models("tiny"), CHAT: flaky}))
    assert found.can_hold_length
    assert any("answered 502: Bad Gateway; asked again, it took every option" in note for note in found.notes)


HALF_STREAM = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    b'40\r\ndata: {"choices":[{"delta":{}\r\n'
)
HALF_BODY = whole(200, {"choices": [], "usage": None})[:-4]


def hang(*pieces: bytes) -> Script:
    def script(fake: Fake, path: str, body: Body) -> Iterable[bytes]:
        yield from pieces
        fake.is_stopping.wait()

    return script


def drip(*pieces: bytes) -> Script:
    """A byte now and then, without end: no single read of it takes long."""

    def script(fake: Fake, path: str, body: Body) -> Iterable[bytes]:
        yield from pieces
        while not fake.is_stopping.wait(0.02):
            yield b"x"

    return script


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (always(whole(500, "boom")), "answered 500: boom"),
        (always(whole(503, {"error": {"message": "loading"}})), "answered 503: loading"),
        (always(whole(404, {"error": {"message": "no model x"}})), "answered 404: no model x"),
        (always(HALF_STREAM), "broke off after"),
        (always(HALF_BODY), "broke off after"),
        (always(RESET), "broke off"),
        (always(HALF_STREAM, RESET), "broke off"),
        (always(b"SSH-2.0-OpenSSH\r\n"), "broke off"),
        (always(b""), "broke off"),
        (hang(), "not done within 1 s; no answer came"),
        (hang(HALF_STREAM), "not done within 1 s; 31 bytes of an answer came"),
        (drip(b"HTTP/1.1 200 OK\r\nx-filler: "), "not done within 1 s; no answer came"),
        (drip(b"HTTP/1.1 200 OK\r\n\r\n"), "not done within 1 s"),
        (always(whole(200, "<html>")), "no JSON object"),
        (always(sse("{broken")), "streamed what is no JSON object"),
        (always(sse({"error": {"message": "out of memory"}}, "[DONE]")), "streamed an error: out of memory"),
        (always(whole(307, "", "text/plain")), "answered 307"),
    ],
)
def test_a_server_that_fails_is_told_apart_in_bounded_time(
    start: Callable[..., Fake], script: Script, said: str
) -> None:
    only_of_streams = "streamed" in said or "404" in said
    for path in (CHAT,) if only_of_streams else (CHAT, "/v1/models"):
        fake = start({"/v1/models": models("tiny"), CHAT: chat()} | {path: script})
        with pytest.raises(BadTarget) as failed:
            look(fake, timeout_s=1.0 if "not done" in said else 30.0)
        assert said in str(failed.value)
        assert f"{fake.url}{path}" in str(failed.value)
        assert "\n" not in str(failed.value)


def test_nothing_there(free_port: Callable[[], int]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(BadTarget, match=rf"{url} is not there: Connection refused"):
        discover(url, (), None, None, 5.0)
    with pytest.raises(BadTarget, match=r"http://no-such-host\.invalid:1 is not there"):
        discover("http://no-such-host.invalid:1", (), None, None, 5.0)


def test_plain_http_spoken_to_with_tls_is_named(start: Callable[..., Fake]) -> None:
    fake = start({})
    with pytest.raises(BadTarget, match="is not there"):
        discover(fake.url.replace("http:", "https:"), (), None, None, 5.0)


def test_a_wrong_key_is_named(start: Callable[..., Fake]) -> None:
    fake = start({"/v1/models": always(whole(401, {"error": {"message": "Unauthorized"}}))})
    with pytest.raises(BadTarget, match=r"answered 401: Unauthorized \(is the API key right\?\)"):
        look(fake)


def test_a_proxy_of_the_environment_is_not_used(
    start: Callable[..., Fake], free_port: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{free_port()}")
    assert look(start({"/v1/models": models("tiny"), CHAT: chat()})).model == "tiny"


# ---------------------------------------------------------------- which model


def test_of_several_models_one_must_be_named(start: Callable[..., Fake]) -> None:
    fake = start({"/v1/models": models("a", "b"), CHAT: chat()})
    with pytest.raises(BadTarget, match=f"several models at {CHAT}; name one: a, b"):
        look(fake)
    assert look(fake, "b").model == "b"


def test_the_only_one_that_fits_is_picked(start: Callable[..., Fake]) -> None:
    listed = [
        {"id": "talker", "endpoints": ["/v1/chat/completions"]},
        {"id": "embedder", "endpoints": ["/v1/embeddings"]},
    ]
    embeddings = always(whole(200, {"data": [{"embedding": [0.5]}], "usage": {"prompt_tokens": 5}}))
    fake = start(
        {"/v1/models": always(whole(200, {"data": listed})), CHAT: chat(), "/v1/embeddings": embeddings}
    )
    assert look(fake).model == "talker"
    assert look(fake, None, Ask("embeddings")).model == "embedder"
    with pytest.raises(BadTarget, match="no model at /v1/chat/completions and /v1/embeddings"):
        look(fake, None, Ask("chat"), Ask("embeddings"))
    with pytest.raises(BadTarget, match="no model at /v1/completions; its models: talker, embedder"):
        look(fake, None, Ask("completions"))
    both = look(fake, None, Ask("chat"), Ask("embeddings", "embedder"))
    assert [(one.kind, one.model) for one in both.abilities] == [
        ("chat", "talker"),
        ("embeddings", "embedder"),
    ]


def test_a_model_that_is_not_listed_may_still_be_served(start: Callable[..., Fake]) -> None:
    assert look(start({"/v1/models": models("a"), CHAT: chat()}), "alias").model == "alias"
    fake = start({"/v1/models": models("a"), CHAT: not_found})
    with pytest.raises(BadTarget, match=r"answered 404: Not Found \(listed: a\)"):
        look(fake, "typo")


def test_a_server_without_a_list_needs_a_name(start: Callable[..., Fake]) -> None:
    fake = start({CHAT: chat()})
    with pytest.raises(BadTarget, match="has no /v1/models, so name the model"):
        look(fake)
    found = look(fake, "tiny")
    assert found.models is None
    assert any("no list of models" in note for note in found.notes)


@pytest.mark.parametrize(
    "document",
    [{"data": None}, {"models": []}, {"data": [{"name": "x"}]}, {"data": ["x"]}, {"data": [{"id": 3}]}],
)
def test_a_list_that_is_none_is_refused(start: Callable[..., Fake], document: object) -> None:
    with pytest.raises(BadTarget, match=r"/v1/models (answered no list|lists a model without an id)"):
        look(start({"/v1/models": always(whole(200, document)), CHAT: chat()}))


def test_a_long_list_is_cut(start: Callable[..., Fake]) -> None:
    fake = start({"/v1/models": models(*(f"m{index}" for index in range(500)))})
    with pytest.raises(BadTarget, match=r"m0, .* and 488 more"):
        look(fake)


def test_an_agent_is_looked_for_without_a_question(start: Callable[..., Fake]) -> None:
    path = "/v1/agent/answers"
    served = start(
        {"/v1/models": models("a", "b"), path: always(whole(400, {"error": {"message": "empty"}}))}
    )
    found = look(served, None, Ask("agent"))
    assert (found.model, [one.kind for one in found.abilities]) == ("", ["agent"])
    with pytest.raises(BadTarget, match=r"the agent is not served: .*answered 404"):
        look(start({"/v1/models": models("a")}), None, Ask("agent"))


def test_embeddings_that_are_none_are_refused(start: Callable[..., Fake]) -> None:
    fake = start({"/v1/models": models("e"), "/v1/embeddings": always(whole(200, {"data": []}))})
    with pytest.raises(BadTarget, match="answered without an embedding"):
        look(fake, None, Ask("embeddings"))


def test_a_workload_asks_each_endpoint_and_model_once() -> None:
    requests = [
        {"kind": "chat", "name": "a"},
        {"kind": "chat", "name": "b"},
        {"kind": "chat", "name": "c", "model": "other"},
        {"kind": "embeddings"},
    ]
    asks = asks_of(Workload.model_validate({"requests": requests}))
    assert asks == (Ask("chat"), Ask("chat", "other"), Ask("embeddings"))


# ---------------------------------------------------------------- from there to prompts


def tokenize(fake: Fake, path: str, body: Body) -> Iterable[bytes]:
    tokens = list(range(len(body.get("prompt", "").split())))
    return [whole(200, {"count": len(tokens), "tokens": tokens})]


def test_prompts_are_counted_by_tokenize_where_there_is_one(start: Callable[..., Fake]) -> None:
    fake = start({"/v1/models": models("tiny"), CHAT: chat(), "/tokenize": tokenize})
    with Probe(fake.url, timeout_s=10.0) as probe:
        found = discover_with(probe, None, (Ask("chat"),))
        assert found.tokenize == {"tiny": "vllm"}
        del fake.asked[:]
        prompts = open_prompts(probe, found, seed=1)
    assert prompts.exactness == "exact"
    assert {path for path, _ in fake.asked} == {"/tokenize"}
    assert prompts.tokenizers == (f"{fake.url}/tokenize for tiny",)


def test_prompts_are_counted_by_usage_where_there_is_not(start: Callable[..., Fake]) -> None:
    fake = start({"/v1/models": models("tiny"), CHAT: chat(), "/v1/completions": chat()})
    with Probe(fake.url, timeout_s=10.0) as probe:
        found = discover_with(probe, None, (Ask("chat"), Ask("completions")))
        del fake.asked[:]
        prompts = open_prompts(probe, found, seed=1)
    assert prompts.exactness == "exact"
    assert {path for path, _ in fake.asked} == {"/v1/completions"}
    assert len(prompts.compose([("request:1", 77)]).split()) == 77


def test_a_server_that_counts_nothing_gets_words(start: Callable[..., Fake]) -> None:
    fake = start({"/v1/models": models("tiny"), CHAT: chat(has_usage=False)})
    with Probe(fake.url, timeout_s=10.0) as probe:
        prompts = open_prompts(probe, discover_with(probe, None, (Ask("chat"),)), seed=1)
    assert prompts.exactness == "approximate"
    assert prompts.reason.endswith("answers without usage.prompt_tokens; lengths are words")
