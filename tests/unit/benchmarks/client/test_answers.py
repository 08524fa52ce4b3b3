from __future__ import annotations

import json

import msgspec
import pytest

from benchmarks.client.answers import AgentReader, OpenAIReader, Usage, error_text, reader_of


def chunk(**fields: object) -> bytes:
    return json.dumps({"id": "x", "object": "chat.completion.chunk", **fields}).encode()


def choice(**delta: object) -> list[dict[str, object]]:
    return [{"index": 0, "delta": delta, "finish_reason": None}]


@pytest.mark.parametrize(
    ("delta", "text"),
    [
        ({"role": "assistant", "content": ""}, ""),
        ({"role": "assistant"}, ""),
        ({"content": "reef"}, "reef"),
        ({"reasoning_content": "hm"}, "hm"),
        ({"content": None, "reasoning": "hm"}, "hm"),
        ({"tool_calls": []}, ""),
        ({"tool_calls": None}, ""),
        ({}, ""),
    ],
)
def test_chat_deltas(delta: dict[str, object], text: str) -> None:
    assert OpenAIReader().event("", chunk(choices=choice(**delta))).text == text


def test_a_fragment_of_a_tool_call_is_a_token() -> None:
    delta = {"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]}
    assert OpenAIReader().event("", chunk(choices=choice(**delta))).text


def test_text_completions() -> None:
    assert OpenAIReader().event("", chunk(choices=[{"index": 0, "text": "sea"}])).text == "sea"


def test_usage_comes_with_or_without_choices() -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    alone = OpenAIReader().event("", chunk(choices=[], usage=usage))
    beside = OpenAIReader().event("", chunk(choices=choice(content="x"), usage=usage))
    assert alone.usage == beside.usage == Usage(7, 3)
    assert (alone.text, beside.text) == ("", "x")


def test_the_end() -> None:
    assert OpenAIReader().event("", b"[DONE]").is_end


def test_an_error_inside_a_stream() -> None:
    said = OpenAIReader().event("", b'{"error": {"message": "out of memory", "type": "server_error"}}')
    assert said.error == "out of memory"


@pytest.mark.parametrize("data", [b"{", b"", b"\xff", b'{"choices": 3}', b"[1]"])
def test_what_is_no_chunk_is_refused(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        OpenAIReader().event("", data)


def test_documents() -> None:
    body = chunk(
        choices=[{"message": {"role": "assistant", "content": "all of it"}}],
        usage={"prompt_tokens": 1, "completion_tokens": 3},
    )
    said = OpenAIReader().document(body)
    assert (said.text, said.usage, said.is_end) == ("all of it", Usage(1, 3), True)


def test_usage_may_say_what_was_cached() -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 5}}
    said = OpenAIReader().event("", chunk(choices=[], usage=usage)).usage
    assert said is not None
    assert said.cached_tokens == 5
    assert Usage(7, 3).cached_tokens is None


def test_embeddings_have_usage_and_no_text() -> None:
    body = b'{"data": [{"embedding": [0.1, 0.2]}], "usage": {"prompt_tokens": 4, "total_tokens": 4}}'
    assert OpenAIReader().document(body).usage == Usage(4, None)


def test_an_agents_events() -> None:
    reader = AgentReader()
    assert reader.event("answer.delta", b'{"text": "Rays"}').text == "Rays"
    assert reader.event("grade", b'{"verdict": "correct"}').text == ""
    final = reader.event("answer.final", b'{"text": "Rays", "usage": {"completion_tokens": 2}}')
    assert final.is_end
    assert final.usage == Usage(None, 2)
    assert reader.event("error", b'{"error": {"message": "late"}}').error == "late"


def test_kinds_have_readers() -> None:
    assert isinstance(reader_of("agent"), AgentReader)
    assert isinstance(reader_of("embeddings"), OpenAIReader)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"error": {"message": "no such model"}}', "no such model"),
        (b'{"error": "busy"}', "busy"),
        (b'{"detail": "x"}', '{"detail": "x"}'),
        (b"<html>502</html>", "<html>502</html>"),
        (b"\xff" * 3, "\ufffd" * 3),
        (b"y" * 1000, "y" * 300),
    ],
)
def test_what_errors_say(body: bytes, text: str) -> None:
    assert error_text(body) == text
