"""Hermes, Qwen and those that were trained like them: JSON between <tool_call> and </tool_call>, after any text.

Source: the chat templates of NousResearch/Hermes-2-Pro and Qwen2.5 and Qwen3.
"""

from __future__ import annotations

from serve_app.engines.base import ToolUse
from serve_app.engines.dialects.base import Markers, Piece
from serve_app.engines.dialects.calls import call_head, call_rules, read_call
from serve_app.engines.dialects.lark import ANY, marker_rule, text_until
from serve_app.engines.stop_strings import overlap
from serve_app.messages import JsonObject
from serve_app.openai_api.parts import ToolCall

OPEN = "<tool_call>"
CLOSE = "</tool_call>"


class Hermes:
    """A Dialect."""

    name = "hermes"
    markers: tuple[str, ...] = (OPEN, CLOSE)

    def rules(self, use: ToolUse, schema: JsonObject | None, markers: Markers, guard: str) -> str:
        more = "*" if use.is_parallel else "?"
        rules = [
            f"CALL_HEAD: /[ \\n]{{0,4}}{call_head()}/",
            "call: CALL_HEAD call_rest call_close",
            marker_rule("call_close", CLOSE, markers),
            call_rules(use, "arguments"),
        ]
        if use.is_required or schema is not None:
            calls = "(call_open call)+" if use.is_parallel else "call_open call"
            otherwise = "" if use.is_required else " | document"
            return "\n".join([f"answer: {calls}{otherwise}", marker_rule("call_open", OPEN, markers), *rules])
        return "\n".join(
            [
                f"answer: (lead call){more} tail",
                text_until("lead", OPEN, markers, guard),
                f"TAIL: /{ANY}/{guard}",
                "tail: TAIL",
                *rules,
            ]
        )

    def reader(self, use: ToolUse) -> HermesReader:
        return HermesReader(frozenset(tool.name for tool in use.tools))


class HermesReader:
    """A Reader. Blanks around calls belong to nobody and are left out."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names
        self._held = ""
        self._is_in_call = False
        self._has_calls = False

    def feed(self, text: str) -> Piece:
        self._held += text
        texts: list[str] = []
        calls: list[ToolCall] = []
        while self._take_call(calls) if self._is_in_call else self._take_text(texts):
            pass
        return Piece("".join(texts), tuple(calls))

    def rest(self) -> Piece:
        held, self._held = self._held, ""
        if not self._is_in_call:
            return Piece() if self._has_calls and not held.strip() else Piece(held)
        found = read_call(held, self._names)
        return Piece(tool_calls=(found.call,)) if found else Piece(OPEN + held)

    def _take_text(self, texts: list[str]) -> bool:
        """Text up to where a call may begin. True: one begins."""
        at = self._held.find(OPEN)
        if at >= 0:
            texts.append(self._held[:at].rstrip())
            self._held = self._held[at + len(OPEN) :]
            self._is_in_call = True
            return True
        clear = len(self._held) - overlap(self._held, OPEN)
        clear = len(self._held[:clear].rstrip())
        texts.append(self._held[:clear])
        self._held = self._held[clear:]
        return False

    def _take_call(self, calls: list[ToolCall]) -> bool:
        """The call that is under way. True: it was complete."""
        if CLOSE not in self._held:  # which can stand in a string too
            return False
        found = read_call(self._held, self._names)
        if found is None or not self._held[found.end :].lstrip().startswith(CLOSE):
            return False
        calls.append(found.call)
        self._held = self._held[found.end :].lstrip().removeprefix(CLOSE)
        self._is_in_call, self._has_calls = False, True
        return True
