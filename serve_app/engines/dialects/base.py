"""The contract of dialects: a grammar that a model's answer is held to, and a reader that takes it apart again.

Knows nothing of tokens, engines or HTTP: markers are text here, and where a vocabulary has one as a control
token, `Markers` says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from serve_app.engines.base import ToolUse
from serve_app.messages import JsonObject
from serve_app.openai_api.parts import ToolCall


@dataclass(frozen=True, slots=True)
class Piece:
    """What a reader made of the text so far."""

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()


class Reader(Protocol):
    """Takes one answer apart, as it comes. What may be the beginning of a marker is held back until that is clear."""

    def feed(self, text: str) -> Piece: ...

    def rest(self) -> Piece:
        """What was still held back when the answer ended; a call that is not complete is text."""
        ...


@dataclass(frozen=True, slots=True)
class Markers:
    """How a vocabulary has the markers: as control tokens, which text never matches, or as text."""

    control_tokens: Mapping[str, int] = field(default_factory=dict)  # marker -> token id


class Dialect(Protocol):
    """How one family writes tool calls."""

    name: str
    markers: tuple[str, ...]  # that the reader looks for

    def rules(self, use: ToolUse, schema: JsonObject | None, markers: Markers, guard: str) -> str:
        """Lark rules of an answer; the rule `answer` is the whole of it. `grammar` has the terminals that they share.

        Args:
            use: the tools, and how they may be used.
            schema: what the text is, where it calls nothing; None: any text.
            markers: of the vocabulary.
            guard: what terminals of free text must not be, as the end of a terminal's definition.

        Raises:
            BadRequest: these cannot be asked together.
        """
        ...

    def reader(self, use: ToolUse) -> Reader: ...
