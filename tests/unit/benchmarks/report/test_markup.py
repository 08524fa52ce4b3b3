"""Text never becomes markup."""

from __future__ import annotations

import json
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.report.markup import Html, data_block, join, tag

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\r"))


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.data = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.data += data


def read(markup: str) -> Reader:
    reader = Reader()
    reader.feed(markup)
    reader.close()
    return reader


@given(texts)
def test_a_text_comes_back_as_that_text(words: str) -> None:
    found = read(tag("p", words, title=words))
    assert found.tags == [("p", {"title": words})]
    assert found.data == words


def test_markup_stays_markup_and_text_does_not() -> None:
    assert tag("p", tag("b", "<i>"), " & ", None, 3) == "<p><b>&lt;i&gt;</b> &amp; 3</p>"
    assert join([Html("<hr>"), "<hr>"]) == "<hr>&lt;hr&gt;"


def test_attributes_are_spelled_as_html_spells_them() -> None:
    assert tag("a", class_="x", data_series=3, hidden=True, title=None, open=False) == (
        '<a class="x" data-series="3" hidden></a>'
    )
    assert tag("meta", charset="utf-8") == '<meta charset="utf-8">'


@given(texts)
def test_no_text_ends_a_data_block(words: str) -> None:
    block = data_block({"words": words})
    body = block.removeprefix('<script type="application/json">').removesuffix("</script>")
    assert not set("<>&") & set(body)
    assert json.loads(body) == {"words": words}
