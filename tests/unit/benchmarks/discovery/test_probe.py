"""Addresses, keys and answers, without a network. What sockets do is in tests/serve."""

from __future__ import annotations

import httpx
import pytest

from benchmarks.discovery.probe import MAX_ANSWER_BYTES, Probe, error_text, server_url
from benchmarks.errors import BadTarget


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000"),
        ("http://127.0.0.1:8000/v1/", "http://127.0.0.1:8000"),
        ("https://gateway.example/llm/v1", "https://gateway.example/llm"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_addresses_end_before_v1(text: str, url: str) -> None:
    assert server_url(text) == url


@pytest.mark.parametrize(
    "text",
    ["", "localhost:8000", "ftp://host", "http://", "http://host:port", "http://host:99999", "http://[::1"],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(BadTarget, match="is not the address of a server"):
        server_url(text)


def test_an_address_that_goes_on_is_refused() -> None:
    with pytest.raises(BadTarget, match="goes on after the path"):
        server_url("http://host/v1?key=1")


def test_a_password_in_an_address_is_refused_and_not_shown() -> None:
    with pytest.raises(BadTarget, match="the address of host holds a user or password") as failed:
        server_url("http://me:hunter2@host:1")
    assert "hunter2" not in str(failed.value)


def test_a_key_that_no_header_can_carry_is_refused_and_not_shown() -> None:
    with pytest.raises(BadTarget, match="the API key has characters") as failed:
        Probe("http://host", api_key="sécret\n", timeout_s=1.0)
    assert "cret" not in str(failed.value)
    with pytest.raises(BadTarget, match="the header 'x-team' has characters"):
        Probe("http://host", [("x-team", "a\r\nb")], timeout_s=1.0)


def test_key_and_headers_are_sent() -> None:
    seen: list[httpx.Headers] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers)
        return httpx.Response(200, json={})

    with Probe(
        "http://host", [("x-team", "a")], "sk-1", timeout_s=1.0, transport=httpx.MockTransport(answer)
    ) as probe:
        probe.get("/v1/models")
    assert (seen[0]["x-team"], seen[0]["authorization"]) == ("a", "Bearer sk-1")


def test_certificates_that_cannot_be_read_are_named() -> None:
    with pytest.raises(BadTarget, match=r"certificates from /nowhere/ca\.pem"):
        Probe("https://host", timeout_s=1.0, ca_file="/nowhere/ca.pem")


def test_an_answer_without_end_is_cut_off() -> None:
    answer = httpx.Response(200, content=b"x" * (MAX_ANSWER_BYTES + 1))
    with (
        Probe("http://host", timeout_s=5.0, transport=httpx.MockTransport(lambda _: answer)) as probe,
        pytest.raises(BadTarget, match=f"more than {MAX_ANSWER_BYTES} bytes"),
    ):
        probe.get("/v1/models")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"error": {"message": "no\\n such model", "code": 404}}', "no such model"),
        (b'{"error": "no such model"}', "no such model"),
        (b'{"object": "error", "message": "no such model"}', "no such model"),
        (b'{"detail": [{"loc": ["body"]}]}', '[{"loc":["body"]}]'),
        (b"Bad Gateway\n", "Bad Gateway"),
        (b"", ""),
        (b"\xff", "�"),
        (b"x" * 1000, "x" * 300),
    ],
)
def test_error_bodies_of_all_kinds_give_one_line(body: bytes, text: str) -> None:
    assert error_text(body) == text
