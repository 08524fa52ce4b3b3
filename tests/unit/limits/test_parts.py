from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.schema import DoorConfig, LimitsConfig, PriceConfig, TenantConfig
from serve_app.errors import BudgetSpent
from serve_app.limits.base import NANO_PER_USD, Check, Decision, Kind, Standing
from serve_app.limits.calendar import Calendar
from serve_app.limits.checks import CheckBook
from serve_app.limits.headers import limit_headers, refusal
from serve_app.limits.meter import Meter
from serve_app.limits.prices import Prices
from serve_app.openai_api.estimate import answer_tokens, prompt_tokens
from serve_app.openai_api.responses import DONE, TextShape, usage


def shape() -> TextShape:
    return TextShape("id", "m", 0, is_chat=True)


def test_a_streams_usage_is_its_last_word() -> None:
    meter, texts = Meter(), shape()
    for frame in (texts.opening(), texts.delta("a"), texts.finish("stop")):
        meter.see(frame)
    meter.see(texts.counts(usage(11, 7, 3)) + DONE)
    assert meter.read(99) == (11, 7)


def test_a_stream_that_breaks_is_counted_by_its_events() -> None:
    meter, texts = Meter(), shape()
    meter.see(texts.opening() + texts.delta("a"))
    meter.see(texts.delta("b") + texts.delta("c") + texts.delta("d"))
    assert meter.read(99) == (99, 4)


def test_an_answer_that_never_began_took_nothing() -> None:
    meter = Meter()
    meter.see(b'{"error": {"message": "no"}}')
    assert meter.read(99) == (0, 0)


@given(st.text())
def test_a_text_cannot_pretend_to_be_the_usage(text: str) -> None:
    meter = Meter()
    nasty = text + '"usage": {"prompt_tokens": 1, "completion_tokens": 1}'
    meter.see(shape().document(nasty, "stop", usage(11, 7)))
    assert meter.read(0) == (11, 7)
    streamed = Meter()
    streamed.see(shape().delta(nasty))
    assert streamed.read(5)[0] == 5


@pytest.mark.parametrize(
    "document",
    [
        {"usage": {"completion_tokens_details": {"x": 1}, "completion_tokens": 7, "prompt_tokens": 11}},
        {"a": 1, "usage": {"prompt_tokens": 11, "total_tokens": 18, "completion_tokens": 7}, "z": "usage"},
    ],
)
def test_usage_of_other_servers_is_read(document: object) -> None:
    meter = Meter()
    meter.see(json.dumps(document).encode())
    assert meter.read(0) == (11, 7)


def test_null_usage_is_none() -> None:
    meter = Meter()
    meter.see(b'data: {"usage":{"prompt_tokens":3,"completion_tokens":4}}\n\n')
    meter.see(b'data: {"usage":null}\n\n')
    assert meter.read(0) == (3, 4)


@pytest.mark.parametrize(
    ("body", "num_tokens"),
    [
        ({"messages": [{"role": "user", "content": "a" * 40}]}, 14),
        ({"messages": [{"content": [{"type": "text", "text": "abcd"}, {"type": "image_url"}]}]}, 805),
        ({"messages": [5, {"content": None}]}, 4),
        ({"messages": "x"}, 0),
        ({"prompt": [1, 2, 3]}, 3),
        ({"input": ["abcd", "abcde"]}, 3),
        ({"input": [[1, 2], [3]]}, 3),
        ({"question": "abcdefgh"}, 2),
        ({}, 0),
    ],
)
def test_prompts_are_guessed(body: dict[str, object], num_tokens: int) -> None:
    assert prompt_tokens(body) == num_tokens


@pytest.mark.parametrize(
    ("body", "num_tokens"),
    [
        ({}, 256),
        ({"max_tokens": 10}, 10),
        ({"max_tokens": 10, "max_completion_tokens": 20, "n": 3}, 60),
        ({"max_tokens": -5}, 256),
        ({"max_tokens": True, "n": 10**30}, 256),
        ({"max_tokens": "many"}, 256),
    ],
)
def test_answers_are_guessed_by_what_is_asked(body: dict[str, object], num_tokens: int) -> None:
    assert answer_tokens(body, 256) == num_tokens


def test_checks_follow_from_who_asks_for_what() -> None:
    config = DoorConfig(
        key_limits=LimitsConfig(requests_per_min=60),
        tenant_limits=LimitsConfig(max_concurrent=4),
        model_limits={"m": LimitsConfig(tokens_per_min=1000, burst_tokens=50)},
        tenants=(
            TenantConfig(
                name="a", limits=LimitsConfig(usd_per_day=2), models={"m": LimitsConfig(max_concurrent=1)}
            ),
        ),
    )
    book = CheckBook(config)
    assert book.checks("k", None, "a", "m") == (
        Check(Kind.REQUESTS, "key:k", 60, 10),
        Check(Kind.DAY, "tenant:a", 2 * NANO_PER_USD),
        Check(Kind.CONCURRENT, "tenant:a model:m", 1),
        Check(Kind.TOKENS, "model:m", 1000, 50),
    )
    assert book.checks("k", LimitsConfig(), "b", None) == (Check(Kind.CONCURRENT, "tenant:b", 4),)
    assert book.checks(None, None, "b", "other") == (Check(Kind.CONCURRENT, "tenant:b", 4),)
    assert book.checks("k", None, "a", "m") is book.checks("k", None, "a", "m")


@given(
    st.lists(st.sampled_from(["a", ":", "model", "tenant", "/", "m"]), min_size=1, max_size=6).map("".join)
)
def test_no_tenant_can_be_called_like_the_limit_of_another(name: str) -> None:
    """A name may hold colons, and with OIDC it is whatever the issuer's administrators let it be."""
    limits = LimitsConfig(max_concurrent=1)
    config = DoorConfig(
        tenant_limits=limits,
        model_limits={"m": limits},
        tenants=(TenantConfig(name="a", models={"m": limits}),),
    )
    taken = {check.scope for check in CheckBook(config).checks(None, None, "a", "m")}
    if name[0] not in ":/" and name != "a":
        own = {check.scope for check in CheckBook(config).checks(None, None, name, None)}
        assert not own & taken


def test_money_is_counted_in_whole_nano_dollars() -> None:
    prices = Prices({"m": PriceConfig(usd_per_million_prompt_tokens=0.1, usd_per_million_answer_tokens=2.5)})
    assert prices.nano_usd("m", 1, 0) == 100
    assert prices.nano_usd("m", 1_000_000, 1_000_000) == round(2.6 * NANO_PER_USD)
    assert prices.nano_usd("free", 5, 5) == prices.nano_usd(None, 5, 5) == 0


def test_headers_tell_the_tightest_limit() -> None:
    wide, tight = Check(Kind.REQUESTS, "tenant:a", 600, 100), Check(Kind.REQUESTS, "key:k", 60, 10)
    tokens = Check(Kind.TOKENS, "key:k", 1000, 1000)
    decision = Decision((Standing(wide, 50, 5), Standing(tight, 3.7, 6.31), Standing(tokens, 999.9, 0.12)))
    assert dict(limit_headers(decision)) == {
        b"x-ratelimit-limit-requests": b"60",
        b"x-ratelimit-remaining-requests": b"3",
        b"x-ratelimit-reset-requests": b"6.31s",
        b"x-ratelimit-limit-tokens": b"1000",
        b"x-ratelimit-remaining-tokens": b"999",
        b"x-ratelimit-reset-tokens": b"120ms",
    }
    assert dict(limit_headers(Decision(is_local=True))) == {b"x-manta-limits": b"local-share"}


def test_a_refusal_says_which_limit() -> None:
    error = refusal(Check(Kind.DAY, "tenant:a", 2 * NANO_PER_USD), 3600)
    assert isinstance(error, BudgetSpent)
    assert (error.code, error.status, error.retry_after_s) == ("insufficient_quota", 429, 3600)
    assert error.message == "tenant a is limited to 2 dollars a day, which are spent"
    of_model = refusal(Check(Kind.CONCURRENT, "tenant:a model:b:c", 2), 1)
    assert of_model.message == "tenant a model b:c is limited to 2 requests at once"


def test_a_wall_clock_that_jumps_changes_no_day() -> None:
    wall, now = datetime(2026, 2, 28, 23, 59, tzinfo=UTC).timestamp(), 0.0
    calendar = Calendar(lambda: now, lambda: wall)
    wall += 400 * 86400
    assert calendar.period(Kind.DAY) == "2026-02-28"
    assert calendar.seconds_left(Kind.DAY) == calendar.seconds_left(Kind.MONTH) == 60
    now += 61
    assert (calendar.period(Kind.DAY), calendar.period(Kind.MONTH)) == ("2026-03-01", "2026-03")
    assert calendar.seconds_left(Kind.MONTH) == 31 * 86400 - 1
    assert calendar.last_days(2) == ["2026-02-28", "2026-03-01"]
