"""Routes whose endpoints read their request themselves and answer with a response of their own."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute


class DirectRoute(APIRoute):
    """A route that hands its endpoint the request, and nothing else.

    FastAPI would look for parameters, dependencies and a response model that these endpoints do not have, for a
    tenth of what the ingress does for a request. The OpenAPI page has them all the same.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return handler
