"""The frame that every report shares: one HTML file that asks the network for nothing, and may not.

Knows nothing of what a report says.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report.markup import Child, Html, join, tag

_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page that its menu leads to. `anchor` is unique on the page."""

    anchor: str
    title: str
    body: Html
    lead: str = ""

    def draw(self) -> Html:
        lead = tag("p", self.lead, class_="lead") if self.lead else None
        return tag("section", tag("h2", self.title), lead, self.body, id=self.anchor)


def page(title: str, kicker: str, meta: Sequence[str], top: Html, sections: Sequence[Section]) -> str:
    """The whole file.

    Args:
        kicker: what kind of report it is, above the title.
        meta: short facts below the title.
        top: what a reader sees first, before the menu.
    """
    style = (_HERE / "page.css").read_text(encoding="utf-8")
    script = (_HERE / "page.js").read_text(encoding="utf-8")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_policy(script)),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="generator", content="manta bench"),
        tag("title", f"{title} \N{EN DASH} {kicker}"),
        tag("style", Html(style)),
    )
    header = tag(
        "header",
        tag("p", kicker, class_="kicker"),
        tag("h1", title),
        tag("p", *(tag("span", fact) for fact in meta), class_="meta"),
    )
    menu = tag("nav", *(tag("a", section.title, href=f"#{section.anchor}") for section in sections))
    main = tag("main", header, top, menu, *(section.draw() for section in sections), _footer())
    body = tag("body", main, tag("script", Html(script)))
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def charts(*figures: Html | None, max_columns: int = 2) -> Html:
    """Figures side by side where the window is wide enough; two in a row, or three where they are just three."""
    num = sum(figure is not None for figure in figures)
    return tag("div", *figures, class_="charts three" if num == max_columns == 3 else "charts")


def table(
    head: Sequence[Child],
    rows: Sequence[Sequence[Child]],
    *,
    num_left: int = 1,
    classes: Sequence[str] = (),
    wraps: bool = False,
) -> Html:
    """A table whose first column names its rows.

    Args:
        num_left: columns at the left that hold words; the others hold figures.
        classes: one a row ("under" continues the row above; "marked" stands out), or none at all.
        wraps: whether the last column is prose.
    """
    last = len(head) - 1

    def cell(element: str, column: int, child: Child) -> Html:
        class_ = (
            "wrap" if wraps and column == last and element == "td" else "left" if column < num_left else None
        )
        if wraps and column == last and element == "th":
            class_ = "left"
        return tag(
            "th" if column == 0 else element, child, class_=class_, scope="row" if column == 0 else None
        )

    top = tag("thead", tag("tr", *(cell("th", column, child) for column, child in enumerate(head))))
    body = [
        tag(
            "tr",
            *(cell("td", column, child) for column, child in enumerate(row)),
            class_=(classes[number] or None) if classes else None,
        )
        for number, row in enumerate(rows)
    ]
    return tag("div", tag("table", top, tag("tbody", *body)), class_="scroll")


def facts(pairs: Sequence[tuple[str, Child]]) -> Html:
    """Names and what they are."""
    return tag("dl", *(join((tag("dt", name), tag("dd", value))) for name, value in pairs), class_="facts")


def copyable(code: str, class_: str | None = None) -> Html:
    """A command or document that a reader takes along."""
    return tag("div", tag("pre", tag("code", code), class_=class_), class_="copyable")


def chip(words: str, tone: str) -> Html:
    """A short state. Tones: good, bad, warn, none."""
    return tag("span", words, class_=f"chip {tone}")


def _policy(script: str) -> str:
    # Even a text that escaped its escaping could not run or fetch anything.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    rest = "style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    return f"default-src 'none'; script-src 'sha256-{digest}'; {rest}"


def _footer() -> Html:
    return tag(
        "footer",
        "Written by manta bench. This file is complete: it loads nothing and sends nothing. "
        "Times are milliseconds of the client's monotonic clock; latencies count from the intended arrival "
        "unless it says otherwise.",
    )
