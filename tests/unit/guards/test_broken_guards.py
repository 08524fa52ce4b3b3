"""A guard that throws keeps closed what it would block, and is told of otherwise."""

from __future__ import annotations

import json

import pytest
from guarded import GUARD, Model, ask, guards, read, said

from configs.schema import InputPolicies
from serve_app.errors import Unavailable
from serve_app.guards.base import Action, Category, Pattern
from serve_app.guards.policy import Rules
from serve_app.guards.scanner import Scanner
from serve_app.guards.step import Guards


def broken(action: Action) -> Guards:
    def throws(text: str) -> bool:
        raise RuntimeError(text)

    pattern = Pattern("broken", Category.PII, "", "secret", 7, "ecrst", throws)
    rules = Rules(Scanner([(pattern, action)]))
    one = guards(input=InputPolicies(pii="flag"))
    one._policies._default = (rules, rules)
    return one


async def test_a_guard_that_throws_is_closed_for_block(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Unavailable, match="policy is to block"):
        await read(broken(Action.BLOCK), ask("my secret"), Model("ok"))
    for is_stream in (False, True):
        answer = await read(
            broken(Action.BLOCK), ask("x", is_stream=is_stream), Model("my ", "secret ", "is")
        )
        assert "content_filter" in answer
        assert "secret" not in answer
    assert "secret" not in caplog.text


@pytest.mark.parametrize("action", [Action.REDACT, Action.FLAG])
async def test_a_guard_that_throws_is_flagged_for_others(action: Action) -> None:
    asked = ask("my secret")
    await read(broken(action), asked, Model("ok"))
    assert "in:flag guard_failed=1" in asked.told[GUARD]
    for is_stream in (False, True):
        asked = ask("x", is_stream=is_stream)
        answer = await read(broken(action), asked, Model("my ", "secret ", "is"))
        text = said(answer)[0] if is_stream else json.loads(answer)["choices"][0]["message"]["content"]
        assert text == "my secret is"
