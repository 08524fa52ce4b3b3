from __future__ import annotations

import pytest

from serve_app.agent.route import Route, route


@pytest.mark.parametrize(
    "question",
    [
        "hi",
        "Hello!",
        "hey there",
        "Good morning",
        "Hallo",
        "Thanks a lot!",
        "Hi! How are you?",
        "what can you do?",
        "???",
        "🙂",
    ],
)
def test_small_talk(question: str) -> None:
    assert route(question).route is Route.CHITCHAT


@pytest.mark.parametrize(
    "question",
    [
        "Hello, how do I ingest a folder?",
        "What is a deadline",
        "hi-res images",
        "Thanks to what does streaming cost little?",
        "help with ingestion",
        "How are you able to stream?",
        "42",
    ],
)
def test_everything_else_is_one_for_the_documents(question: str) -> None:
    assert route(question).route is Route.KB
