"""An answer as the model writes it: the grammar that it is held to, and its parts as they come."""

from __future__ import annotations

from dataclasses import replace

from serve_app.engines.base import TextChunk, ToolUse
from serve_app.engines.dialects.base import Dialect, Markers, Piece, Reader
from serve_app.engines.dialects.lark import ANY, escaped, json_rule, marker_rule, text_until
from serve_app.engines.dialects.reasoning import CLOSE, OPEN, ReasoningReader, Thinking
from serve_app.errors import BadRequest
from serve_app.messages import JsonObject


def answer_grammar(
    dialect: Dialect | None,
    use: ToolUse | None,
    schema: JsonObject | None,
    thinking: Thinking,
    markers: Markers,
) -> str | None:
    """llguidance's Lark for a whole answer, thoughts included; None: any text will do.

    Args:
        dialect: of the model, if it knows tools.
        use: tools that may be called.
        schema: what the text of the answer is; None: any text.
        thinking: how the answer begins.
        markers: of the vocabulary.

    Raises:
        BadRequest: these cannot be asked together.
    """
    if use is None and schema is None:
        return None
    # Free text must not swallow the thoughts before it, with whatever they say about calls.
    is_guarded = thinking is Thinking.POSSIBLE and OPEN not in markers.control_tokens
    guard = rf" & ~/[ \n]*{escaped(OPEN)}{ANY}/" if is_guarded else ""
    rules = ["%llguidance {}", r"BLANKS: /[ \n]{1,4}/"]
    rules += _thinking_rules(thinking, markers)
    if schema is not None:
        rules += ["document: json | BLANKS json" if thinking is not Thinking.NEVER else "document: json"]
        rules += [json_rule("json", schema)]
    if use is None:
        rules += ["answer: document"]
    elif dialect is None:
        raise BadRequest("this model knows no tools", "tools")
    else:
        rules += [dialect.rules(use, schema, markers, guard)]
    return "\n".join(rules)


def _thinking_rules(thinking: Thinking, markers: Markers) -> list[str]:
    if thinking is Thinking.NEVER:
        return ["start: answer"]
    closing = text_until("thoughts", CLOSE, markers)
    if thinking is Thinking.OPEN:
        return ["start: thoughts answer", closing]
    return ["start: answer | think thoughts answer", marker_rule("think", OPEN, markers), closing]


class AnswerReader:
    """Chunks of raw text to chunks with reasoning and tool calls in their places."""

    def __init__(self, thinking: Thinking, calls: Reader | None) -> None:
        self._reasoning = ReasoningReader(thinking)
        self._calls = calls
        self._has_calls = False

    def read(self, chunk: TextChunk) -> TextChunk:
        reasoning, text = self._reasoning.feed(chunk.text)
        piece = self._read_calls(text)
        if chunk.finish_reason is not None:
            late, text = self._reasoning.rest()
            reasoning += late
            for more in (self._read_calls(text), self._calls.rest() if self._calls else Piece()):
                piece = Piece(piece.text + more.text, piece.tool_calls + more.tool_calls)
        self._has_calls |= bool(piece.tool_calls)
        finish = chunk.finish_reason
        if finish == "stop" and self._has_calls:
            finish = "tool_calls"
        return replace(
            chunk, text=piece.text, reasoning=reasoning, tool_calls=piece.tool_calls, finish_reason=finish
        )

    def _read_calls(self, text: str) -> Piece:
        return self._calls.feed(text) if self._calls is not None else Piece(text)
