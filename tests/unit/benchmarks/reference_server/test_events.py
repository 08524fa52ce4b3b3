"""The bytes of answers are JSON in OpenAI's form, and as long as they say."""

from __future__ import annotations

import base64
import struct
from typing import Any

import msgspec
import pytest

from benchmarks.reference_server.asked import Asked
from benchmarks.reference_server.events import WORDS, Events, embedding_body, generated_body
from benchmarks.reference_server.http_messages import chunk


def asked(*, is_chat: bool = True, model: str = "m", **fields: Any) -> Asked:
    return Asked(path="/", model=model, num_prompt_tokens=7, is_chat=is_chat, **fields)


def document(event: bytes) -> Any:
    assert event.startswith(b"data: ")
    assert event.endswith(b"\n\n")
    return msgspec.json.decode(event[len(b"data: ") :])


def test_a_chat_begins_with_the_role_and_ends_with_the_reason() -> None:
    events = Events(asked(max_tokens=3), 1)
    assert document(events.role())["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert document(events.token(0))["choices"][0]["delta"] == {"content": WORDS[0]}
    finish = document(events.finish())["choices"][0]
    assert (finish["delta"], finish["finish_reason"]) == ({}, "length")
    assert document(Events(asked(), 1).finish())["choices"][0]["finish_reason"] == "stop"


def test_a_completion_has_text() -> None:
    event = document(Events(asked(is_chat=False), 1).token(17))
    assert event["object"] == "text_completion"
    assert event["choices"][0]["text"] == WORDS[1]


def test_every_event_of_an_answer_has_its_id_and_no_other_answer_has() -> None:
    one, other = (Events(asked(wants_usage=True), number) for number in (1, 2))
    ids = {document(event)["id"] for event in (one.role(), one.token(3), one.finish(), one.usage(2))}
    assert len(ids) == 1
    assert document(other.role())["id"] not in ids


@pytest.mark.parametrize("model", ["m", 'quoted "name"', "größer"])
def test_a_token_is_one_whole_chunk(model: str) -> None:
    for is_chat in (True, False):
        events = Events(asked(is_chat=is_chat, model=model), 123_456)
        for index, rest in enumerate(events.framed_words):
            assert events.framed_opening + rest == chunk(events.token(index))
        assert document(events.token(0))["model"] == model


def test_usage_comes_only_when_asked_for() -> None:
    assert Events(asked(), 1).usage(5) == b""
    event = document(Events(asked(wants_usage=True), 1).usage(5))
    assert event["choices"] == []
    assert event["usage"] == {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}


def test_the_text_of_n_tokens_has_n_words() -> None:
    answer = msgspec.json.decode(generated_body(asked(), 1, 40))
    assert len(answer["choices"][0]["message"]["content"].split()) == 40
    assert answer["usage"]["completion_tokens"] == 40


def test_embeddings_are_unit_vectors_in_both_encodings() -> None:
    plain = msgspec.json.decode(embedding_body(asked(is_embedding=True, num_inputs=2), 16))
    assert [entry["index"] for entry in plain["data"]] == [0, 1]
    vector = plain["data"][0]["embedding"]
    assert sum(value * value for value in vector) == pytest.approx(1)
    encoded = msgspec.json.decode(embedding_body(asked(is_embedding=True, wants_base64=True), 16))
    assert list(struct.unpack("<16f", base64.b64decode(encoded["data"][0]["embedding"]))) == vector
