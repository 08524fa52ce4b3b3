from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import TypeAdapter

from benchmarks.schedule.bodies import BodyWriter
from configs.workload import LoadRequest


def body(document: dict[str, Any], *texts: str, can_hold_length: bool = True) -> Any:
    request: LoadRequest = TypeAdapter(LoadRequest).validate_python(document)
    writer = BodyWriter(request, "default", can_hold_length=can_hold_length)
    return json.loads(writer.write(texts or ("hi",), 5))


def test_chat() -> None:
    assert body({"kind": "chat"}) == {
        "model": "default",
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 5,
        "temperature": 0,
        "ignore_eos": True,
        "min_tokens": 5,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_completions_without_stream() -> None:
    assert body({"kind": "completions", "stream": False, "hold_output_length": False}) == {
        "model": "default",
        "prompt": "hi",
        "max_tokens": 5,
        "temperature": 0,
        "stream": False,
    }


@pytest.mark.parametrize("kind", ["chat", "completions"])
def test_a_server_that_cannot_hold_the_length_is_not_asked_to(kind: str) -> None:
    asked = body({"kind": kind}, can_hold_length=False)
    assert "ignore_eos" not in asked
    assert "min_tokens" not in asked
    assert asked["max_tokens"] == 5


def test_embeddings_of_one_text_and_of_several() -> None:
    assert body({"kind": "embeddings"}) == {"model": "default", "input": "hi"}
    assert body({"kind": "embeddings", "num_inputs": 2}, "a", "b")["input"] == ["a", "b"]


def test_an_agent_is_asked_a_question() -> None:
    assert body({"kind": "agent", "texts": "q.txt"}) == {"question": "hi", "stream": True}


@pytest.mark.parametrize("kind", ["chat", "completions", "embeddings"])
def test_the_entry_s_model_goes_before_the_command_s(kind: str) -> None:
    assert body({"kind": kind, "model": "own"})["model"] == "own"


def test_extra_fields_have_the_last_word() -> None:
    asked = body({"kind": "chat", "extra_body": {"temperature": 0.7, "top_k": 5, "max_tokens": None}})
    assert (asked["temperature"], asked["top_k"], asked["max_tokens"]) == (0.7, 5, None)


def test_any_text_survives() -> None:
    text = 'quote " backslash \\ newline \n null \x00 é 🐟'
    assert body({"kind": "completions"}, text)["prompt"] == text
