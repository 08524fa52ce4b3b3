from __future__ import annotations

import pytest

from configs.schema import WebSearchConfig
from serve_app.agent.states import WebMode
from serve_app.agent.web_queries import WebUse, is_plain, web_queries
from serve_app.websearch.base import TimeRange, Topic, WebQuery

USE = WebUse()


@pytest.mark.parametrize(
    ("question", "topic", "time_range"),
    [
        ("What happened today?", Topic.NEWS, TimeRange.DAY),
        ("Who won yesterday?", Topic.NEWS, TimeRange.WEEK),
        ("Was ist diese Woche passiert?", Topic.NEWS, TimeRange.WEEK),
        ("What changed this month?", Topic.NEWS, TimeRange.MONTH),
        ("Any news about rays?", Topic.NEWS, None),
        ("How is the weather in Lima today?", Topic.GENERAL, TimeRange.DAY),
        ("What is the stock price of Acme?", Topic.GENERAL, None),
    ],
)
def test_what_is_new_is_sought_in_the_news_as_far_back_as_the_question_says(
    question: str, topic: Topic, time_range: TimeRange | None
) -> None:
    assert web_queries([question], question, WebMode.FIRST, USE) == (
        WebQuery(question, topic, 5, time_range),
    )


@pytest.mark.parametrize("mode", [WebMode.AUGMENT, WebMode.REPLACE])
def test_what_stands_in_for_documents_is_sought_everywhere(mode: WebMode) -> None:
    assert web_queries(["x today"], "x today", mode, USE) == (WebQuery("x today"),)


def test_there_are_no_more_queries_than_allowed() -> None:
    assert [one.text for one in web_queries(["a", "b", "c"], "q", WebMode.AUGMENT, USE)] == ["a", "b"]
    few = WebUse(max_queries=1, max_results=3)
    assert web_queries(["a", "b"], "q", WebMode.AUGMENT, few) == (WebQuery("a", max_results=3),)


def test_a_short_question_alone_is_a_query() -> None:
    assert is_plain("How do mantas glide?", [])
    assert is_plain("How do mantas glide?", [{"role": "system", "content": "Be brief."}])
    assert not is_plain("And how do they sleep?", [{"role": "user", "content": "How do mantas glide?"}])
    assert not is_plain("I have seen a ray. How does it glide?", [])
    assert not is_plain(" ".join(["word"] * 17), [])


def test_a_profile_says_when_the_web_is_searched() -> None:
    config = WebSearchConfig.model_validate(
        {"provider": {"kind": "tavily"}, "modes": ["replace"], "max_queries": 1, "max_results": 7}
    )
    assert WebUse.of(config) == WebUse(frozenset({WebMode.REPLACE}), 1, 7)
    assert WebUse.of(None).modes == frozenset()
