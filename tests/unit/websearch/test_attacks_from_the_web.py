"""The corpus of attack texts as pages: what leaves the tool is cleaned, and says how suspicious it is."""

from __future__ import annotations

import json
import unicodedata
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from serve_app.websearch.base import WebQuery, WebResult
from serve_app.websearch.screening import screened
from serve_app.websearch.tool import SearchResults

FOLDER = Path(__file__).resolve().parents[2] / "data" / "attacks"
NOW = datetime(2026, 11, 21, tzinfo=UTC)


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def through_the_tool(title: str, text: str) -> SearchResults:
    pages = screened([WebResult("https://page.example/", title, text)], WebQuery("q"), 4000, NOW)
    return SearchResults.of(pages)


@pytest.mark.parametrize("attack", rows("webs"), ids=lambda attack: attack["id"])
@pytest.mark.parametrize("place", ["text", "title"])
def test_an_attack_is_cleaned_and_marked(attack: dict[str, Any], place: str) -> None:
    result = through_the_tool(
        attack["text"] if place == "title" else "A page", f"Of rays.\n\n{attack['text']}"
    )
    (page,) = result.pages
    for shown in (page.title, page.text):
        assert "<!--" not in shown
        assert not [c for c in shown if unicodedata.category(c) in ("Cf", "Cc", "Co") and c not in "\n\t"]
    assert "\n" not in page.title
    if attack["caught_by"] == "phrases" and place == "text":
        assert page.suspicion >= 0.8
    if attack["caught_by"] == "clean":
        assert "PWNED" not in page.text


@pytest.mark.parametrize("benign", rows("benign"), ids=lambda benign: benign["id"])
def test_what_only_sounds_like_one_is_not_marked(benign: dict[str, Any]) -> None:
    (page,) = through_the_tool("A page", benign["text"]).pages
    assert page.suspicion < 0.8
