"""A server's /tokenize, in the two forms that are in use."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from benchmarks.errors import CannotCount
from benchmarks.prompts.tokenize_endpoint import TokenizeEndpoint, find_dialect


def vllm(request: httpx.Request) -> httpx.Response:
    assert request.url.path == "/tokenize"
    body = json.loads(request.content)
    if "prompt" not in body:
        return httpx.Response(400, json={"error": {"message": "Field required: prompt"}})
    ids = list(range(len(body["prompt"].split()) + body.get("add_special_tokens", True)))
    return httpx.Response(200, json={"count": len(ids), "max_model_len": 4096, "tokens": ids})


def llamacpp(request: httpx.Request) -> httpx.Response:
    body = json.loads(request.content)
    ids = list(range(len(body.get("content", "").split()) + body.get("add_special", False)))
    return httpx.Response(200, json={"tokens": ids})


@pytest.mark.parametrize(("server", "dialect"), [(vllm, "vllm"), (llamacpp, "llama.cpp")])
def test_the_form_is_found_and_counts_the_text_alone(probe_of: Any, server: Any, dialect: str) -> None:
    probe = probe_of(server)
    assert find_dialect(probe, "tiny") == (dialect, "")
    counter = TokenizeEndpoint(probe, "tiny", dialect)  # type: ignore[arg-type]
    assert counter.count(["a", "a b c", " ".join(["x"] * 99)] * 9) == [1, 3, 99] * 9
    assert counter.name == "http://server/tokenize for tiny"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (httpx.Response(404, json={"detail": "Not Found"}), "answered 404: Not Found"),
        (httpx.Response(500, text="oops"), "answered 500: oops"),
        (httpx.Response(200, text="<html>"), "no JSON object"),
        (httpx.Response(200, json=[1, 2, 3]), "no JSON object"),
        (httpx.Response(200, json={"tokens": "three"}), "without tokens"),
        (httpx.Response(200, json={"tokens": []}), "counts no tokens"),
    ],
)
def test_a_server_without_it_says_why(probe_of: Any, answer: httpx.Response, why: str) -> None:
    dialect, said = find_dialect(probe_of(lambda _: answer), "tiny")
    assert dialect is None
    assert why in said


def test_a_count_that_does_not_fit_its_tokens_is_no_count(probe_of: Any) -> None:
    probe = probe_of(lambda _: httpx.Response(200, json={"count": 7, "tokens": [1, 2]}))
    with pytest.raises(CannotCount, match="without their count"):
        TokenizeEndpoint(probe, "tiny", "vllm").count(["a b"])
