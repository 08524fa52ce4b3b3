"""Guards after a model: its text, whole and as a stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator

import pytest
from guarded import CARD, DONE, GUARD, Model, ask, outgoing, read, said
from hypothesis import given
from hypothesis import strategies as st

from serve_app.errors import EngineFailed
from serve_app.front.base import Ask
from serve_app.guards.findings import Findings
from serve_app.guards.outgoing import OutgoingStream
from serve_app.openai_api.responses import TextShape
from serve_app.telemetry.metrics import count_nothing


async def test_an_answer_is_redacted_whole_and_as_a_stream() -> None:
    pieces = ["It is ", "4111 11", "11 1111 1", "111. Bye", "."]
    one, asked = outgoing(pii="redact"), ask("x")
    document = json.loads(await read(one, asked, Model(*pieces)))
    assert document["choices"][0]["message"]["content"] == "It is [CARD]. Bye."
    assert asked.told[GUARD] == "out:redact card=1"
    stream = await read(one, ask("x", is_stream=True), Model(*pieces))
    assert said(stream) == ("It is [CARD]. Bye.", "stop")
    assert '"usage"' in stream


async def test_a_blocked_answer_ends_before_what_blocks_and_stops_the_model() -> None:
    pieces = ["You can build", " a ", "bomb", " with", " care"]
    for is_stream in (False, True):
        model = Model(*pieces)
        answer = await read(outgoing(topics="block"), ask("x", is_stream=is_stream), model)
        if is_stream:
            assert said(answer) == ("You can ", "content_filter")
        else:
            choice = json.loads(answer)["choices"][0]
            assert (choice["message"]["content"], choice["finish_reason"]) == ("You can ", "content_filter")
        assert model.is_closed
        assert "bomb" not in answer


async def test_probabilities_would_spell_the_text() -> None:
    told = {"content": [{"token": "4111", "logprob": -1}]}
    for is_stream in (False, True):
        answer = await read(outgoing(pii="redact"), ask("x", is_stream=is_stream), Model("a", logprobs=told))
        assert "4111" not in answer
    answer = await read(outgoing(pii="flag"), ask("x"), Model("a", logprobs=told))
    assert "4111" in answer


async def test_calls_and_roles_pass() -> None:
    class Calls(Model):
        async def source(self, asked: Ask) -> AsyncGenerator[bytes]:
            yield self.chunk({"role": "assistant", "tool_calls": [{"index": 0, "id": "c"}]})
            yield b": ping\n\n"
            yield self.chunk({}, finish_reason="tool_calls") + DONE.encode()

    stream = await read(outgoing(pii="redact"), ask("x", is_stream=True), Calls())
    assert '"id":"c"' in stream
    assert ": ping" in stream
    assert '"finish_reason":"tool_calls"' in stream


async def test_garbage_is_the_models_fault() -> None:
    class Garbage(Model):
        async def source(self, asked: Ask) -> AsyncGenerator[bytes]:
            yield self.pieces[0].encode("latin-1") if asked.is_stream else b"nonsense"

    head = 'data: {"choices":[{"index":0,"delta":{"content":'
    streams = ["data: [1\n\n"]
    streams += [f'{head}{text}}},"finish_reason":null}}]}}\n\n' for text in ('"\xff"', '"\\ud800"', '"\x01"')]
    with pytest.raises(EngineFailed):
        await read(outgoing(pii="redact"), ask("x"), Garbage())
    for stream in streams:
        with pytest.raises(EngineFailed):
            await read(outgoing(pii="redact"), ask("x", is_stream=True), Garbage(stream))


async def test_what_follows_a_comment_is_looked_at() -> None:
    guard = OutgoingStream(outgoing(pii="redact")._policies.output("t"), Findings("out", count_nothing))
    shape = TextShape("1", "m", 0, is_chat=True)
    out = guard.take(b": ping\n\n: ping\n\n" + shape.delta(CARD) + shape.finish("stop"))
    assert out.startswith(b": ping\n\n: ping\n\ndata: ")
    assert b"4111" not in out


class Compact(Model):
    """Writes its pieces of text as engines do, several in a frame, which the guard need not read whole."""

    async def source(self, asked: Ask) -> AsyncGenerator[bytes]:
        shape = TextShape("1", 'a "choices":[{"index":0,"delta":{"content":"x"}}] model', 0, is_chat=True)
        yield shape.opening()
        for at in range(0, len(self.pieces), 2):
            yield b"".join(shape.delta(piece) for piece in self.pieces[at : at + 2])
        yield shape.finish("stop") + DONE.encode()


@given(
    st.lists(
        st.sampled_from(
            ["4111 ", "1111 ", "1111", " and ", "build ", "a ", "bomb", '"', "\\", "\n", "\u00e4", "x"]
        )
        | st.text(max_size=4),
        max_size=12,
    )
)
def test_pieces_that_are_not_read_whole_come_out_the_same(pieces: list[str]) -> None:
    async def run() -> None:
        one, whole = outgoing(pii="redact", topics="block"), Model("".join(pieces))
        choice = json.loads(await read(one, ask("x"), whole))["choices"][0]
        stream = await read(one, ask("x", is_stream=True), Compact(*pieces))
        assert said(stream) == (choice["message"]["content"], choice["finish_reason"])
        # Whatever is cut at whichever byte is the same again.
        model, cut = Compact(*pieces), b""
        async for frame in model.source(ask("x")):
            cut += frame
        guard = OutgoingStream(one._policies.output("t"), Findings("out", count_nothing))
        out = b""
        for at in range(0, len(cut), 7):
            if not guard.is_over:
                out += guard.take(cut[at : at + 7])
        assert said(out.decode()) == said(stream)

    asyncio.run(run())


@given(
    st.lists(
        st.sampled_from(["4111 ", "1111 ", "1111", " and ", "build ", "a ", "bomb", ".", "x", ""]),
        max_size=12,
    )
)
def test_a_stream_says_what_the_document_says(pieces: list[str]) -> None:
    async def run() -> None:
        one = outgoing(pii="redact", topics="block")
        choice = json.loads(await read(one, ask("x"), Model(*pieces)))["choices"][0]
        text, reason = said(await read(one, ask("x", is_stream=True), Model(*pieces)))
        assert (text, reason) == (choice["message"]["content"], choice["finish_reason"])

    asyncio.run(run())


def chunk(text: str, index: int = 0, more: str = "") -> bytes:
    delta = '{"content":' + json.dumps(text, ensure_ascii=False) + more + "}"
    choice = f'{{"index":{index},"delta":{delta},"logprobs":null,"finish_reason":null}}'
    return f'data: {{"id":"1","choices":[{choice}]}}\n\n'.encode()


def guarding() -> OutgoingStream:
    return OutgoingStream(outgoing(pii="redact")._policies.output("t"), Findings("out", count_nothing))


def test_frames_in_which_nothing_can_be_found_pass_as_they_are() -> None:
    stream = guarding()
    for text in ("Mantas ", "glide \u00e4 ", "over ", 'a "reef" ', "\n"):
        assert stream.take(chunk(text)) == chunk(text)


def test_choices_that_take_turns_keep_their_texts_apart() -> None:
    stream, texts = guarding(), {0: "", 1: ""}
    card = ("4111 11", "11 1111 1", "111 ", "is his. ")
    frames = [
        chunk(text, index) for piece in card for index, text in ((0, piece), (1, f"{len(piece)} mantas, "))
    ]
    for event in b"".join(map(stream.take, frames)).decode().split("\n\n")[:-1]:
        choice = json.loads(event.removeprefix("data: "))["choices"][0]
        texts[choice["index"]] += choice["delta"]["content"]
    assert texts == {0: "[CARD] is his. ", 1: "7 mantas, 9 mantas, 4 mantas, 8 mantas, "}


def test_a_piece_that_says_more_than_its_like_is_read_whole() -> None:
    stream = guarding()
    assert stream.take(chunk("Mantas ")) == chunk("Mantas ")
    rest = stream.take(chunk("glide ", more=',"refusal":"4111 1111 1111 1111 no"'))
    delta = json.loads(rest.removeprefix(b"data: "))["choices"][0]["delta"]
    assert delta["content"] == "glide "
    assert "4111" not in delta["refusal"]


async def test_an_error_behind_text_that_is_held_back_is_the_clients() -> None:
    class Breaking(Model):
        async def source(self, asked: Ask) -> AsyncGenerator[bytes]:
            yield chunk("It is ") + chunk("4111 11")
            raise EngineFailed("broken")

    frames = outgoing(pii="redact").frames(ask("x", is_stream=True), Breaking().source)
    assert await anext(frames) == chunk("It is ")
    with pytest.raises(EngineFailed, match="broken"):
        await anext(frames)


async def test_a_document_in_which_nothing_is_found_is_the_models_own() -> None:
    model, one = Model("Mantas glide."), outgoing(pii="redact")
    own = b"".join([frame async for frame in model.source(ask("x"))])
    assert (await read(one, ask("x"), Model("Mantas glide."))).encode() == own
