"""What keeps requests together."""

from __future__ import annotations

from dataclasses import replace

import pytest

from serve_app.messages import JsonObject, RequestContext
from serve_app.routing.key import affinity_key


def asked(*texts: str, **fields: object) -> JsonObject:
    return {"messages": [{"role": "user", "content": text} for text in texts], **fields}


def test_two_tenants_never_have_the_same_key(context: RequestContext) -> None:
    contexts = [replace(context, tenant=tenant, session="s") for tenant in ("a", "b")]
    for affinity in ("session", "prefix"):
        assert len({affinity_key(asked("x"), one, affinity, 100) for one in contexts}) == 2


def test_nothing_keeps_a_request_that_says_nothing(context: RequestContext) -> None:
    assert affinity_key(asked("x"), context, "session", 100) is None
    assert affinity_key({"prompt": [1, 2]}, context, "prefix", 100) is None
    assert affinity_key(asked("x"), replace(context, session="s"), "none", 100) is None


@pytest.mark.parametrize("value", [7, ["a"], {}, ""])
def test_what_is_no_name_is_no_key(context: RequestContext, value: object) -> None:
    assert affinity_key(asked("x", prompt_cache_key=value, user=value), context, "session", 100) is None


def test_a_conversation_is_named_by_the_header_before_the_body(context: RequestContext) -> None:
    def key(session: str | None, **fields: object) -> str | None:
        return affinity_key(asked("x", **fields), replace(context, session=session), "session", 100)

    assert key("s", prompt_cache_key="p", user="u") == key("s")
    assert key(None, prompt_cache_key="p", user="u") == key(None, prompt_cache_key="p") == key("p")
    assert key(None, user="u") == key("u")


def test_prompts_that_begin_alike_have_one_key(context: RequestContext) -> None:
    def key(*texts: str) -> str | None:
        return affinity_key(asked(*texts), context, "prefix", 10)

    assert key("0123456789abc", "x") == key("0123456789xyz")
    assert key("012345678", "9") != key("0123456789")
    assert key("a") != key("b")
