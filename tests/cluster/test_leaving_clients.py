"""What clients that leave cost those that stay."""

from __future__ import annotations

import asyncio

import httpx

from tests.cluster.test_lost_replicas import NUM_TOKENS, Answer, ask

NUM_CLIENTS = 60
APART_S = 0.004  # more than a hundred a second: many share a call of Serve's


async def test_they_take_no_streams_of_others_with_them(url: str) -> None:
    """Serve cancels what a request has called when its client leaves, and a call carries several requests' streams."""
    answers = [Answer() for _ in range(NUM_CLIENTS)]
    asking = []
    limits = httpx.Limits(max_connections=NUM_CLIENTS)
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits, trust_env=False) as client:
        for answer in answers:
            asking.append(asyncio.create_task(ask(client, answer)))
            await asyncio.sleep(APART_S)
        async with asyncio.timeout(60):
            while not all(answer.num_chunks for answer in answers):  # noqa: ASYNC110 (the clients are tasks)
                await asyncio.sleep(0.05)
        for leaving in asking[::2]:
            leaving.cancel()
        staying = await asyncio.gather(*asking[1::2])
    assert [answer.error for answer in staying] == [None] * len(staying)
    assert all(answer.is_done and answer.num_chunks == NUM_TOKENS for answer in staying)
