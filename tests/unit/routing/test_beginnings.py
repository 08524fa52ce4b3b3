"""Names of what prompts begin with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.messages import Deadline, JsonObject, RequestContext
from serve_app.routing.beginnings import BLOCK_CHARS, MAX_NAMES, Beginnings, beginnings

CONTEXT = RequestContext("test", "acme", Deadline.after(60))


def chat(*texts: str, system: str | None = None) -> JsonObject:
    roles = ("user", "assistant")
    messages = [{"role": roles[at % 2], "content": text} for at, text in enumerate(texts)]
    return {"messages": [*([{"role": "system", "content": system}] if system else []), *messages]}


def of(body: JsonObject, tenant: str = "acme") -> Beginnings:
    found = beginnings(body, replace(CONTEXT, tenant=tenant), "prefix")
    assert found is not None
    return found


def test_a_turn_begins_with_all_of_the_turn_before() -> None:
    first, second = of(chat("a")), of(chat("a", "b", "c"))
    assert second.names[: len(first.names)] == first.names
    assert len(second.names) == 3
    assert first.home == second.home


@given(st.lists(st.text(min_size=1), min_size=1, max_size=5), st.text(min_size=1))
def test_prompts_that_differ_in_the_end_share_what_is_before_it(texts: list[str], end: str) -> None:
    shared = of(chat(*texts))
    longer = of(chat(*texts, end))
    assert longer.names[: len(shared.names)] == shared.names
    assert len(set(longer.names)) == len(longer.names)
    other = of(chat(*texts, f"{end}!"))
    assert set(other.names) & set(longer.names) >= set(shared.names)


def test_questions_about_one_document_share_its_beginning() -> None:
    document = "word " * BLOCK_CHARS
    one, other = (of(chat(document + question)) for question in ("Who?", "When?"))
    assert len(set(one.names) & set(other.names)) == 5
    assert one.names[-1] != other.names[-1]
    assert one.home == other.home


def test_a_system_prompt_that_all_share_is_no_home() -> None:
    one, other = (of(chat(text, system="Be kind. " * BLOCK_CHARS)) for text in ("a", "b"))
    assert one.names[0] == other.names[0]
    assert one.home != other.home


def test_texts_are_not_run_together() -> None:
    assert set(of(chat("ab", "c")).names).isdisjoint(of(chat("a", "bc")).names)
    assert set(of({"prompt": ["ab", "c"]}).names).isdisjoint(of({"prompt": "abc"}).names)


def test_tenants_share_nothing() -> None:
    assert set(of(chat("a", "b", "c")).names).isdisjoint(of(chat("a", "b", "c"), "other").names)


def test_a_prompt_of_any_length_has_so_many_names() -> None:
    found = of(chat("x" * (BLOCK_CHARS * (MAX_NAMES + 10)), "y"))
    assert len(found.names) == MAX_NAMES
    assert of({"prompt": "x"}).names[0] == of({"prompt": ["x"]}).names[0]


@pytest.mark.parametrize(
    "body",
    [
        *({}, {"messages": []}, {"messages": None}, {"prompt": []}, {"prompt": ""}, {"prompt": [1, 2]}),
        *({"messages": [7, {"role": "user"}, {"role": "user", "content": [{"type": "image_url"}, 7]}]},),
        *({"prompt": {"a": 1}}, {"messages": 7}, {"messages": "a"}, {"messages": {"a": 1}}),
    ],
    ids=repr,
)
def test_where_there_is_no_text_there_is_nothing_to_go_by(body: Any) -> None:
    assert beginnings(body, CONTEXT, "prefix") is None


def test_texts_in_parts_and_broken_characters_have_names_too() -> None:
    parts = [{"type": "text", "text": "a\ud800"}, {"type": "image_url"}, {"type": "text", "text": "b"}]
    assert len(of({"messages": [{"role": "user", "content": parts}]}).names) == 2


def test_by_session_the_prompt_does_not_matter() -> None:
    contexts = [replace(CONTEXT, session=session) for session in ("s", "s", "t")]
    bodies = [chat("a"), chat("b"), chat("a")]
    same, as_well, other = (
        beginnings(body, context, "session") for body, context in zip(bodies, contexts, strict=True)
    )
    assert same == as_well != other
    assert len({one.names for one in (same, other) if one}) == 2
    assert beginnings(chat("a"), CONTEXT, "session") is None
    assert beginnings(chat("a"), contexts[0], "none") is None


@pytest.mark.parametrize("value", [7, ["a"], {}, ""])
def test_what_is_no_name_is_no_session(value: object) -> None:
    body = chat("x") | {"prompt_cache_key": value, "user": value}
    assert beginnings(body, CONTEXT, "session") is None


def test_a_session_is_named_by_the_header_before_the_body() -> None:
    def name(session: str | None, **fields: object) -> Beginnings | None:
        return beginnings(chat("x") | fields, replace(CONTEXT, session=session), "session")

    long = "p" * 3 * BLOCK_CHARS
    assert name("s", prompt_cache_key=long, user="u") == name("s")
    assert name(None, prompt_cache_key=long, user="u") == name(None, prompt_cache_key=long) == name(long)
    assert name(None, user="u") == name("u")
    assert name(f"{long}1") != name(f"{long}2")
