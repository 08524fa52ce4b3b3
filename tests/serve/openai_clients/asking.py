"""What a user of the official client does, with whichever version of it runs this; prints what came of it.

    python asking.py URL < {"good": KEY, "limited": KEY}

Knows nothing of Manta: it runs in environments where there is none.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any

import openai

CHAT: dict[str, Any] = {"model": "mock", "messages": [{"role": "user", "content": "What is a manta?"}]}
TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "parameters": {"type": "object", "properties": {"of": {"type": "string"}}},
    },
}
ORDER = [{"role": "user", "content": 'call:look_up {"of": "manta"}'}]


def main() -> None:
    keys = json.loads(sys.stdin.readline())
    with openai.OpenAI(base_url=f"{sys.argv[1]}/v1", api_key=keys["good"], max_retries=0) as client:
        seen = {name: ask(client) for name, ask in ASKS.items()}
        seen["refusals"] = refusals(client, keys)
    seen["async"] = asyncio.run(asynchronously(sys.argv[1], keys["good"]))
    seen["version"] = openai.__version__
    sys.stdout.write(json.dumps(seen))


def chat(client: openai.OpenAI) -> Any:
    answer = client.chat.completions.create(**CHAT, max_tokens=5, seed=1)
    (choice,) = answer.choices
    return [choice.message.content, choice.finish_reason, answer.usage.completion_tokens]


def stream(client: openai.OpenAI) -> Any:
    chunks = list(
        client.chat.completions.create(
            **CHAT, max_tokens=5, seed=1, stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    return [text, chunks[-2].choices[0].finish_reason, chunks[-1].usage.completion_tokens]


def headers(client: openai.OpenAI) -> Any:
    raw = client.chat.completions.with_raw_response.create(**CHAT, max_tokens=2)
    names = ("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests")
    return [
        raw.headers["x-ratelimit-limit-requests"],
        all(name in raw.headers for name in names),
        raw.parse().object,
    ]


def tools(client: openai.OpenAI) -> Any:
    answer = client.chat.completions.create(model="mock", messages=ORDER, tools=[TOOL])
    (call,) = answer.choices[0].message.tool_calls
    return [call.function.name, call.function.arguments, answer.choices[0].finish_reason]


def completions(client: openai.OpenAI) -> Any:
    return len(
        client.completions.create(model="mock", prompt="A manta", max_tokens=4).choices[0].text.split()
    )


def embeddings(client: openai.OpenAI) -> Any:
    packed = client.embeddings.create(model="embedder", input=["a manta ray", "the sea"])
    plain = client.embeddings.create(
        model="embedder", input=["a manta ray", "the sea"], encoding_format="float"
    )
    nearest = max(abs(a - b) for a, b in zip(packed.data[1].embedding, plain.data[1].embedding, strict=True))
    return [len(packed.data), len(packed.data[0].embedding), nearest < 1e-6]


def models(client: openai.OpenAI) -> Any:
    return sorted(model.id for model in client.models.list())


ASKS: dict[str, Callable[[openai.OpenAI], Any]] = {
    "chat": chat,
    "stream": stream,
    "headers": headers,
    "tools": tools,
    "completions": completions,
    "embeddings": embeddings,
    "models": models,
}


def refusals(client: openai.OpenAI, keys: dict[str, str]) -> Any:
    """What each ends with: the client's own class of error, its status, its code."""
    limited = client.with_options(api_key=keys["limited"])
    limited.chat.completions.create(**CHAT, max_tokens=1)  # all that it may
    unknown = client.with_options(api_key="of-nobody")
    forged = client.with_options(default_headers={"x-manta-tenant": "victim"})
    return {
        "no key": _refused(lambda: unknown.chat.completions.create(**CHAT)),
        "forged tenant": _refused(lambda: forged.chat.completions.create(**CHAT)),
        "over the limit": _refused(lambda: limited.chat.completions.create(**CHAT, max_tokens=1)),
        "over the limit, stream": _refused(lambda: limited.chat.completions.create(**CHAT, stream=True)),
        "unknown model": _refused(lambda: client.chat.completions.create(**{**CHAT, "model": "nobody"})),
        "bad value": _refused(lambda: client.chat.completions.create(**CHAT, max_tokens=-1)),
        "late": _refused(
            lambda: client.chat.completions.create(
                **CHAT, max_tokens=20_000, extra_headers={"x-request-timeout-s": "0.2"}
            )
        ),
    }


def _refused(ask: Callable[[], Any]) -> Any:
    try:
        ask()
    except openai.APIStatusError as exc:
        return [type(exc).__name__, exc.status_code, exc.code, "retry-after" in exc.response.headers]
    return "was not refused"


async def asynchronously(url: str, key: str) -> Any:
    """Two streams at once, and one that its reader leaves."""
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0) as client:

        async def read(most: int) -> int:
            num = 0
            answer = await client.chat.completions.create(**CHAT, max_tokens=50, stream=True)
            async with answer:
                async for chunk in answer:
                    num += bool(chunk.choices and chunk.choices[0].delta.content)
                    if num == most:
                        break
            return num

        return await asyncio.gather(read(1000), read(1000), read(3))


main()
