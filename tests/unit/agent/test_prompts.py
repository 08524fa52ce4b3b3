from __future__ import annotations

import pytest

from serve_app.agent import prompts
from serve_app.errors import BadRequest


def turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def test_the_newest_turns_are_kept_and_instructions_always() -> None:
    history = [turn("system", "Be brief."), *(turn("user", f"{n} " + "x" * 1000) for n in range(9))]
    kept = prompts.recent(history)
    assert kept[0] == turn("system", "Be brief.")
    assert [one["content"][0] for one in kept[1:]] == ["4", "5", "6", "7", "8"]


def test_empty_turns_are_left_out() -> None:
    assert prompts.recent([turn("assistant", "")]) == []


@pytest.mark.parametrize(
    ("history", "param"),
    [
        ([{"role": "tool", "content": "x"}], "history.0.role"),
        ([{"content": "x"}], "history.0.role"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "history.0.content"),
    ],
)
def test_what_is_no_text_is_refused_by_name(history: list[dict[str, object]], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        prompts.recent(history)
    assert caught.value.param == param


def test_there_is_one_system_message() -> None:
    messages = prompts.chitchat(
        "hi", [turn("developer", "Rhyme."), turn("user", "a"), turn("assistant", "b")]
    )
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user"]
    assert messages[0]["content"].endswith("Rhyme.")
