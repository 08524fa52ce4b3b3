"""Any server's usage as a tokenizer, whatever its template adds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from benchmarks.errors import BadTarget, CannotCount
from benchmarks.prompts.generated import prepare_prompts
from benchmarks.prompts.usage_counter import Kind, open_usage_counter


class Server:
    """Answers with the usage that a function of the text says; keeps the bodies."""

    def __init__(self, count: Callable[[str], Any], *, status: int = 200) -> None:
        self._count = count
        self._status = status
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        self.asked.append((request.url.path, body))
        text = body.get("prompt") or "".join(body.get("input", [])) or body["messages"][0]["content"]
        usage = {"prompt_tokens": self._count(text), "completion_tokens": 1}
        return httpx.Response(self._status, json={"choices": [], "usage": usage})


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("chat", "/v1/chat/completions"),
        ("completions", "/v1/completions"),
        ("embeddings", "/v1/embeddings"),
    ],
)
@pytest.mark.parametrize("num_extra", [0, 4, 37])
def test_what_the_template_adds_is_found_and_taken_off(
    probe_of: Any, kind: Kind, path: str, num_extra: int
) -> None:
    server = Server(lambda text: len(text.split()) + num_extra)
    counter = open_usage_counter(probe_of(server), kind, "tiny")
    assert counter.num_extra_tokens == num_extra
    assert counter.count(["one", "a b c d", " ".join(["x"] * 300)]) == [1, 4, 300]
    assert {asked for asked, _ in server.asked} == {path}
    assert all(body["model"] == "tiny" and body.get("max_tokens", 1) == 1 for _, body in server.asked)


def test_one_word_that_is_odd_to_a_tokenizer_does_not_mislead(probe_of: Any) -> None:
    def count(text: str) -> int:
        return 3 + (len(text.split()) ** 2 if "one" in text else len(text.split()))

    counter = open_usage_counter(probe_of(Server(count)), "chat", "tiny")
    assert (counter.num_extra_tokens, counter.count(["a b c"])) == (3, [3])


def test_prompts_are_exact_by_usage_alone_with_few_requests(probe_of: Any) -> None:
    server = Server(lambda text: 11 + len(text.split()))
    prompts = prepare_prompts(1, [open_usage_counter(probe_of(server), "chat", "tiny")])
    assert prompts.exactness == "exact"
    assert len(server.asked) < 50
    texts = [body["messages"][0]["content"] for _, body in server.asked]
    assert max(len(text.split()) for text in texts) <= 250  # fits into the smallest contexts


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (lambda text: 0, "does not grow with the text: 0, 0 and 0"),
        (lambda text: len(text.split()) ** 2, "does not grow with the text"),
        (lambda text: None, "without usage.prompt_tokens"),
        (lambda text: True, "without usage.prompt_tokens"),
        (lambda text: "12", "without usage.prompt_tokens"),
        (lambda text: min(9, len(text.split())), "does not grow with the text: 8, 9 and 9"),
    ],
    ids=["zero", "not linear", "missing", "bool", "text", "cut"],
)
def test_usage_that_tells_nothing_is_refused(probe_of: Any, count: Any, said: str) -> None:
    with pytest.raises(CannotCount, match=said):
        open_usage_counter(probe_of(Server(count)), "completions", "tiny")


def test_a_failing_server_is_named(probe_of: Any) -> None:
    with pytest.raises(BadTarget, match="POST http://server/v1/completions answered 500"):
        open_usage_counter(probe_of(Server(len, status=500)), "completions", "tiny")


def test_a_server_that_takes_one_at_a_time_is_asked_one_at_a_time(probe_of: Any) -> None:
    num_in_flight = 0
    refused = []

    async def narrow(request: httpx.Request) -> httpx.Response:
        nonlocal num_in_flight
        if num_in_flight:
            refused.append(request)
            return httpx.Response(429, json={"error": {"message": "busy"}})
        num_in_flight += 1
        for _ in range(20):
            await asyncio.sleep(0)
        num_in_flight -= 1
        return Server(lambda text: len(text.split()))(request)

    counter = open_usage_counter(probe_of(narrow), "completions", "tiny")
    assert counter.count(["a", "a b", "a b c"] * 5) == [1, 2, 3] * 5
    assert refused
