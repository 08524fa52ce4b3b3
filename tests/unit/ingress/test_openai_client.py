"""The official client, unchanged, against the application in process."""

from collections.abc import AsyncIterator

import httpx
import openai
import pytest
from fastapi import FastAPI


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[openai.AsyncOpenAI]:
    http_client = httpx.AsyncClient(transport=httpx.ASGITransport(app=app))
    async with openai.AsyncOpenAI(
        base_url="http://manta/v1", api_key="none", http_client=http_client, max_retries=0
    ) as one:
        yield one


QUESTION = [{"role": "user", "content": "What is a manta?"}]


async def test_chat(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="mock", messages=QUESTION, max_tokens=3)
    assert len(answer.choices[0].message.content.split()) == 3
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 3


async def test_chat_stream_has_the_same_text_and_usage(client: openai.AsyncOpenAI) -> None:
    whole = await client.chat.completions.create(model="mock", messages=QUESTION, seed=1)
    stream = await client.chat.completions.create(
        model="mock", messages=QUESTION, seed=1, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage
    assert chunks[-2].choices[0].finish_reason == "length"


async def test_completions(client: openai.AsyncOpenAI) -> None:
    answer = await client.completions.create(model="mock", prompt="A manta", max_tokens=2)
    stream = await client.completions.create(model="mock", prompt="A manta", max_tokens=2, stream=True)
    assert "".join([chunk.choices[0].text async for chunk in stream]) == answer.choices[0].text


async def test_embeddings_default_base64_equals_float(client: openai.AsyncOpenAI) -> None:
    texts = ["a manta ray", "the open sea"]
    packed = await client.embeddings.create(model="embed", input=texts)
    plain = await client.embeddings.create(model="embed", input=texts, encoding_format="float")
    assert [len(row.embedding) for row in packed.data] == [16, 16]
    assert packed.data[1].embedding == pytest.approx(plain.data[1].embedding)
    assert packed.usage.prompt_tokens == 6


async def test_models(client: openai.AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()] == ["mock", "embed", "manta"]
    model = await client.models.retrieve("embed")
    assert model.model_extra["endpoints"] == ["/v1/embeddings"]
    assert model.model_extra["dim"] == 16
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("nobody/there")


async def test_agent_as_model(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="manta", messages=QUESTION)
    assert answer.choices[0].message.content == "Mantas glide. [1]"
    assert answer.usage.total_tokens == 11
    assert answer.model_extra["manta"]["flags"] == ["lexical_only"]
    assert answer.model_extra["manta"]["citations"][0]["path"] == "rays.md"


async def test_agent_as_model_streams_the_whole_text(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="manta", messages=QUESTION, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == "Mantas glide. [1]"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-2].model_extra["manta"]["run"] == [{"state": "retrieve", "ms": 3}]
    assert chunks[-1].usage.total_tokens == 11


async def test_errors_are_the_clients_own_classes(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as bad:
        await client.chat.completions.create(model="mock", messages=QUESTION, temperature=3)
    assert bad.value.param == "temperature"
    with pytest.raises(openai.NotFoundError) as missing:
        await client.chat.completions.create(model="gpt-9", messages=QUESTION)
    assert missing.value.code == "model_not_found"
    assert "mock" in missing.value.message
    with pytest.raises(openai.BadRequestError) as long:
        await client.chat.completions.create(
            model="mock", messages=[{"role": "user", "content": "word " * 600}], stream=True
        )
    assert long.value.code == "context_length_exceeded"


async def test_a_late_error_reaches_the_client_as_an_exception(client: openai.AsyncOpenAI, agent) -> None:
    agent.script[2] = RuntimeError("secret detail")
    stream = await client.chat.completions.create(model="manta", messages=QUESTION, stream=True)
    with pytest.raises(openai.APIError, match="internal error") as failed:
        _ = [chunk async for chunk in stream]
    assert "secret" not in str(failed.value)
