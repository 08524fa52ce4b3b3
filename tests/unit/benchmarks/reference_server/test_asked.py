"""What bodies ask, in all the forms that OpenAI's API allows."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from benchmarks.reference_server.asked import (
    read_chat,
    read_completion,
    read_embedding,
    tokenized,
)
from benchmarks.reference_server.http_messages import Refused


def body(**fields: Any) -> bytes:
    return msgspec.json.encode(fields)


def test_a_chat_counts_the_words_of_all_its_messages() -> None:
    messages = [
        {"role": "system", "content": "Be  brief.\n"},
        {"role": "user", "content": [{"type": "text", "text": "What is"}, {"type": "text", "text": "this?"}]},
        {"role": "assistant", "content": None},
    ]
    asked = read_chat(body(model="m", messages=messages, temperature=0, ignore_eos=True))
    assert asked.num_prompt_tokens == 5
    assert (asked.is_chat, asked.is_stream, asked.wants_usage, asked.max_tokens) == (True, False, False, None)


def test_a_chat_takes_the_newer_name_of_max_tokens_first() -> None:
    messages = [{"role": "user", "content": "Hi"}]
    assert read_chat(body(model="m", messages=messages, max_tokens=5)).max_tokens == 5
    both = read_chat(body(model="m", messages=messages, max_tokens=5, max_completion_tokens=7))
    assert both.max_tokens == 7


def test_a_stream_has_usage_only_if_it_asks() -> None:
    options = {"include_usage": True}
    asked = read_completion(body(model="m", prompt="a b", stream=True, stream_options=options))
    assert (asked.is_stream, asked.wants_usage, asked.num_prompt_tokens) == (True, True, 2)
    assert not read_completion(body(model="m", prompt="a b", stream=True, stream_options=None)).wants_usage


@pytest.mark.parametrize(
    ("value", "num_inputs", "num_tokens"),
    [
        ("one two", 1, 2),
        (["one two", "three"], 2, 3),
        ([5, 6, 7], 1, 3),
        ([[5, 6], [7]], 2, 3),
    ],
)
def test_inputs_are_texts_or_token_ids(value: Any, num_inputs: int, num_tokens: int) -> None:
    asked = read_embedding(body(model="m", input=value, encoding_format="base64"))
    assert (asked.num_inputs, asked.num_prompt_tokens, asked.wants_base64) == (num_inputs, num_tokens, True)


def test_tokens_are_words() -> None:
    counted = tokenized(body(model="m", prompt="the cat the", add_special_tokens=False))
    assert counted["count"] == len(counted["tokens"]) == 3
    assert counted["tokens"][0] == counted["tokens"][2] != counted["tokens"][1]
    messages = [{"role": "user", "content": "the cat"}]
    assert tokenized(body(model="m", messages=messages))["tokens"] == counted["tokens"][:2]


@pytest.mark.parametrize(
    ("read", "sent", "message"),
    [
        (read_chat, b"{", "truncated"),
        (read_chat, b'{"messages": [{}]}', "model"),
        (read_chat, b'{"model": "m", "messages": []}', "length >= 1"),
        (read_chat, b'{"model": "m", "messages": [{}], "max_tokens": 0}', ">= 1"),
        (read_completion, b'{"model": "m", "prompt": ["a", "b"]}', "one prompt"),
        (read_embedding, b'{"model": "m", "input": "a", "encoding_format": "hex"}', "'hex'"),
        (tokenized, b'{"model": "m"}', "neither prompt nor messages"),
    ],
)
def test_what_asks_nothing_is_refused(read: Any, sent: bytes, message: str) -> None:
    with pytest.raises(Refused, match=message) as caught:
        read(sent)
    assert caught.value.status == 400
