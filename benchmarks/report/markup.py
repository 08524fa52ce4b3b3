"""HTML that is escaped by construction: text is `str`, markup is `Html`, and only `tag` makes one from the other.

Knows nothing of what a page says.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable
from typing import Any

_VOID = frozenset({"meta", "input", "br", "hr", "col"})


class Html(str):
    """Markup that may stand in a page as it is."""

    __slots__ = ()


Child = Html | str | int | None


def text(value: object) -> Html:
    """A text as markup."""
    return Html(html.escape(str(value), quote=True))


def join(children: Iterable[Child]) -> Html:
    """Children one after the other; what is not Html is escaped, None is left out."""
    return Html(
        "".join(child if isinstance(child, Html) else text(child) for child in children if child is not None)
    )


def tag(element: str, *children: Child, **attributes: str | float | bool | None) -> Html:
    """An element.

    Attributes: `class_` is class, `data_x` is data-x; True stands alone, None and False are left out.
    """
    parts = [element]
    for name, value in attributes.items():
        if value is None or value is False:
            continue
        spelled = name.rstrip("_").replace("_", "-")
        parts.append(spelled if value is True else f'{spelled}="{html.escape(str(value), quote=True)}"')
    opening = f"<{' '.join(parts)}>"
    if element in _VOID:
        return Html(opening)
    return Html(f"{opening}{join(children)}</{element}>")


def data_block(value: Any, **attributes: str) -> Html:
    """JSON for the page's own script; no text in it can end the element."""
    document = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=True)
    for character in "<>&":
        document = document.replace(character, f"\\u{ord(character):04x}")
    return tag("script", Html(document), type="application/json", **attributes)
