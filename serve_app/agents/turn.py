"""One step's exchange with a model: OpenAI's wire format on one side, the framework's messages on the other. Pure.

The framework's messages are Strands': a role, and blocks of which each has one key (text, toolUse, toolResult).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from serve_app.agents.base import ToolSpec
from serve_app.messages import JsonObject

# What a model gets to read when no call is left, after the results of its last ones.
ANSWER_NOW = "No more tools can be called. Answer now, from what you have, and say what is missing."


@dataclass(frozen=True, slots=True)
class WantedCall:
    """A call that a model wants made."""

    id: str
    name: str
    arguments: str  # as it wrote them


class CallPieces:
    """Puts the pieces of streamed calls together. Servers send an index with each piece, or whole calls without."""

    def __init__(self) -> None:
        self._calls: list[dict[str, str]] = []
        self._by_index: dict[int, dict[str, str]] = {}

    def add(self, piece: JsonObject) -> None:
        function = piece.get("function") or {}
        index, call_id = piece.get("index"), piece.get("id")
        known = self._by_index.get(index) if isinstance(index, int) else None
        if known is None or (call_id and known["id"] and call_id != known["id"]):
            known = {"id": "", "name": "", "arguments": ""}
            self._calls.append(known)
            if isinstance(index, int):
                self._by_index[index] = known
        known["id"] = known["id"] or str(call_id or "")
        known["name"] = known["name"] or str(function.get("name") or "")
        known["arguments"] += str(function.get("arguments") or "")

    def calls(self, taken: Iterable[str]) -> tuple[WantedCall, ...]:
        """The calls, under ids that none of the run has had: servers begin anew with each answer."""
        used = set(taken)
        wanted = []
        for number, call in enumerate(self._calls):
            base = own = call["id"] or f"call_{len(used)}"
            while own in used:
                own = f"{base}_{len(used)}_{number}"
            used.add(own)
            wanted.append(WantedCall(own, call["name"] or "unnamed", call["arguments"]))
        return tuple(wanted)


def openai_messages(system: str, messages: Sequence[Mapping[str, Any]]) -> list[JsonObject]:
    """The conversation as a request's `messages`."""
    shaped: list[JsonObject] = [{"role": "system", "content": system}]
    for message in messages:
        blocks: Sequence[Mapping[str, Any]] = message["content"]
        text = "\n".join(block["text"] for block in blocks if "text" in block)
        if message["role"] == "assistant":
            shaped.append(_assistant(text, [block["toolUse"] for block in blocks if "toolUse" in block]))
            continue
        shaped += [_result(block["toolResult"]) for block in blocks if "toolResult" in block]
        if text:
            shaped.append({"role": "user", "content": text})
    return shaped


def openai_tools(specs: Sequence[ToolSpec]) -> list[JsonObject]:
    """The tools as a request's `tools`, their schemas as they were declared: the framework would write into them."""
    return [
        {
            "type": "function",
            "function": {
                "name": spec.name,
                "description": spec.description,
                "parameters": spec.parameters,
            },
        }
        for spec in specs
    ]


def strands_messages(history: Sequence[JsonObject]) -> list[JsonObject]:
    """Earlier turns, which are text, as the framework's messages."""
    return [{"role": turn["role"], "content": [{"text": turn["content"]}]} for turn in history]


def _assistant(text: str, uses: Sequence[Mapping[str, Any]]) -> JsonObject:
    if not uses:
        return {"role": "assistant", "content": text}
    calls = [
        {
            "id": use["toolUseId"],
            "type": "function",
            "function": {"name": use["name"], "arguments": json.dumps(use["input"], ensure_ascii=False)},
        }
        for use in uses
    ]
    return {"role": "assistant", "content": text or None, "tool_calls": calls}


def _result(result: Mapping[str, Any]) -> JsonObject:
    text = "\n".join(part["text"] for part in result["content"])
    return {"role": "tool", "tool_call_id": result["toolUseId"], "content": text}
