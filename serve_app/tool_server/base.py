"""A tool that others call over MCP: its name, what it takes and gives, and what it does.

Knows nothing of MCP or HTTP: `server` makes MCP of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import BaseModel


class Progress(Protocol):
    """Tells the caller how far a call is."""

    async def __call__(self, message: str) -> None: ...


@dataclass(frozen=True, slots=True)
class ServedTool:
    """One tool.

    Args:
        name: as callers write it.
        description: what it does, for the model that decides whether to call it.
        takes: its parameters; unknown ones should be forbidden.
        gives: its result.
        run: what it does. May raise errors of our tree; they reach the caller with their code.
        text: the result as a person or a model reads it; None: its JSON.
        is_open_world: it reaches things outside of this application.
    """

    name: str
    description: str
    takes: type[BaseModel]
    gives: type[BaseModel]
    run: Callable[[Any, Progress], Awaitable[BaseModel]]
    text: Callable[[Any], str] | None = None
    is_open_world: bool = False
