"""Web pages that make a browser call a server on its own machine: an open server must not do what they ask.

By DNS rebinding a page's own name may lead to loopback, and then nothing but its `Origin` tells it apart; browsers send
that with every POST, and other clients send none.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers

from serve_app.errors import Forbidden
from serve_app.identity.exposure import is_loopback


def require_no_page(headers: Headers) -> None:
    """Return if no page of another machine asks.

    Raises:
        Forbidden: one does.
    """
    for origin in headers.getlist("origin"):
        try:
            host = urlsplit(origin).hostname
        except ValueError:
            host = None
        if host is None or not is_loopback(host):
            raise Forbidden("a web page may not call this server, which asks nobody who they are")
