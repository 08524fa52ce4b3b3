"""What clients see of a replica that is killed while it answers them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import psutil
import pytest

NUM_STREAMS = 8
NUM_TOKENS = 60  # three seconds


class Answer:
    """What one client has got."""

    def __init__(self) -> None:
        self.text = ""
        self.num_chunks = 0
        self.error: dict[str, Any] | None = None
        self.is_done = False


async def ask(client: httpx.AsyncClient, answer: Answer, **fields: Any) -> Answer:
    body = {
        "model": "pair",
        "messages": [{"role": "user", "content": "x"}],
        "max_tokens": NUM_TOKENS,
        "stream": True,
        **fields,
    }
    async with client.stream("POST", "/v1/chat/completions", json=body) as response:
        assert response.status_code == 200
        async for line in response.aiter_lines():
            take(answer, line.removeprefix("data: "))
    return answer


def take(answer: Answer, data: str) -> None:
    if data == "[DONE]":
        answer.is_done = True
    elif data:
        event = json.loads(data)
        if "error" in event:
            answer.error = event["error"]
        elif content := event["choices"][0]["delta"].get("content"):
            answer.text += content
            answer.num_chunks += 1


def replicas(application: psutil.Process) -> list[psutil.Process]:
    """Those that have started: Serve has a question for their health under way, but for moments."""
    found = []
    for child in application.children(recursive=True):
        try:
            title = " ".join(child.cmdline())
        except psutil.Error:
            continue  # it has just ended
        if "ServeReplica:manta:Model-pair.check_health" in title:
            found.append(child)
    return found


async def with_a_kill(url: str, application: psutil.Process, **fields: Any) -> list[Answer]:
    """So many streams, and one of the two replicas is killed when all have begun."""
    answers = [Answer() for _ in range(NUM_STREAMS)]
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
        async with asyncio.timeout(60):
            while len(pair := replicas(application)) < 2:  # noqa: ASYNC110 (the last test's is replaced)
                await asyncio.sleep(0.2)
        asking = [asyncio.create_task(ask(client, answer, **fields)) for answer in answers]
        async with asyncio.timeout(60):
            while not all(answer.num_chunks for answer in answers):  # noqa: ASYNC110 (the clients are tasks)
                await asyncio.sleep(0.05)
        pair[0].kill()
        await asyncio.gather(*asking)
    return answers


@pytest.mark.parametrize("fields", [{"temperature": 0}, {"seed": 7}])
async def test_an_answer_that_can_be_made_again_is_continued(
    url: str, application: psutil.Process, fields: dict[str, Any]
) -> None:
    answers = await with_a_kill(url, application, **fields)
    assert [answer.error for answer in answers] == [None] * NUM_STREAMS
    assert [answer.is_done for answer in answers] == [True] * NUM_STREAMS
    assert {answer.num_chunks for answer in answers} == {NUM_TOKENS}
    assert len({answer.text for answer in answers}) == 1, "a token is missing or came twice"


async def test_any_other_answer_ends_with_an_error_that_says_so(
    url: str, application: psutil.Process
) -> None:
    answers = await with_a_kill(url, application)
    whole = [answer for answer in answers if answer.is_done]
    cut = [answer for answer in answers if not answer.is_done]
    assert whole, "the other replica's streams went on"
    assert cut, "the killed replica had streams"
    assert all(answer.error is None and answer.num_chunks == NUM_TOKENS for answer in whole)
    for answer in cut:
        assert answer.error is not None
        assert (answer.error["code"], answer.error["type"]) == ("stream_lost", "server_error")
        assert whole[0].text.startswith(answer.text)
