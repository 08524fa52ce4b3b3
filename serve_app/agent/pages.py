"""Pages of the web as passages, cleaned: what is cited later is what was shown to the model. Pure."""

from __future__ import annotations

import hashlib

from serve_app.grounding.untrusted import clean, one_line
from serve_app.messages import Passage
from serve_app.websearch.base import WebResult

WEB_SOURCE = "web"  # what a passage from the web has for a source
MAX_PAGE_CHARS = 4000  # of one passage
_MAX_TITLE_CHARS = 200
_MAX_URL_CHARS = 2000


def passage_of(page: WebResult, ordinal: int = 0) -> Passage:
    """A page, or the piece of it with that number."""
    url = one_line(page.url, _MAX_URL_CHARS)
    own = hashlib.sha256(url.encode()).hexdigest()[:16]
    return Passage(
        id=f"web-{own}" if ordinal == 0 else f"web-{own}-{ordinal}",
        document_id=url,
        source=WEB_SOURCE,
        path=url,
        title=one_line(page.title, _MAX_TITLE_CHARS),
        headings=(),
        text=clean(page.text, MAX_PAGE_CHARS),
        ordinal=ordinal,
        metadata={"published": page.published} if page.published else {},
    )
