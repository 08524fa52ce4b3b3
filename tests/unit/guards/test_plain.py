"""Text that is told to be plain holds nothing back that matters, and all that does."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.guards.base import Action, Pattern
from serve_app.guards.patterns import PERSONAL, SECRETS, topic_patterns
from serve_app.guards.plain import plain_of
from serve_app.guards.scanner import Scanner

TOPICS = topic_patterns({"weapons": ("nerve agent",)})
SETS: dict[str, list[Pattern]] = {
    "all": [*SECRETS, *PERSONAL.values()],
    "secrets": list(SECRETS),
    "default": [*SECRETS, *(PERSONAL[kind] for kind in ("email", "phone", "card", "iban", "us_ssn"))],
    "email": [PERSONAL["email"]],
    "email and iban": [PERSONAL["email"], PERSONAL["iban"]],
    "email and a code": [PERSONAL["email"], PERSONAL["it_fiscal_code"]],
}
SCANNERS = {name: Scanner([(one, Action.REDACT) for one in patterns]) for name, patterns in SETS.items()}
WORDS = [
    "The ",
    "rays ",
    "Manta",
    "B",
    "Xa",
    "z",
    ", ",
    ".\n",
    "client",
    " Secret ",
    "passphras",
    "don't ",
    "a/b",
    "!",
]
CHARS = 'aekszAKXB059 -_.,:;/@+=(\n"é\t'


@pytest.mark.parametrize("name", SETS)
@settings(max_examples=400)
@given(st.one_of(st.text(st.sampled_from(CHARS), max_size=30), st.lists(st.sampled_from(WORDS)).map("".join)))
def test_plain_is_what_looking_for_everything_says_of_it(name: str, text: str) -> None:
    scanner = SCANNERS[name]
    assert scanner.plain is not None
    held = scanner.plain.held_from(text)
    if held >= 0:
        assert not scanner.may_find(text)
        assert held == scanner.held_from(text)


@pytest.mark.parametrize(
    "text", ["the quick ", "The rays don't care. ", " Manta rays,", "n\nNext line", "s (no, I mean)"[:2]]
)
def test_prose_is_plain(text: str) -> None:
    plain = SCANNERS["default"].plain
    assert plain is not None
    assert plain.held_from(text) >= 0


@pytest.mark.parametrize("text", ["", "a@b", "in 2024", "a secret", "IBAN", "x" * 161, "é", "ends in C"])
def test_this_is_looked_at(text: str) -> None:
    plain = SCANNERS["default"].plain
    assert plain is not None
    assert plain.held_from(text) < 0 or text == ""


@pytest.mark.parametrize(
    "patterns", [[], TOPICS, [*SECRETS, *TOPICS], [PERSONAL["card"]], [PERSONAL["it_fiscal_code"]]]
)
def test_where_any_text_may_matter_none_is_plain(patterns: list[Pattern]) -> None:
    assert plain_of(patterns) is None
