"""What the scripted model says to a request. Pure.

The writer is worse than most models on purpose: it does what passages tell it, takes a neighbour's value for the
right one, and makes one up where there is none. What a gate is worth is seen with a model that needs it. The judge
compares facts word by word and is never wrong; a real judge is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.scripted_model.facts import Fact, asked, facts, guess, is_supported, rating, sentences
from benchmarks.scripted_model.ragas_replies import ragas_reply

NOTHING_FITS = "The documents do not answer this question."  # what Manta asks models to say
MADE_UP = "7 leagues"
GREETING = "Hello, what would you like to know?"
_PASSAGE = re.compile(r"^\[(\d+)\] begin ([0-9a-f]{16,64})\n(.*?)\n\[\1\] end \2$", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"^(\w+) begin ([0-9a-f]{16,64})\n(.*?)\n\1 end \2$", re.MULTILINE | re.DOTALL)
_ORDER = re.compile(r"reply only with (\w+)", re.IGNORECASE)
_TOLD_OFF = "no passage supports"  # in the instructions for a further draft


def reply(body: Mapping[str, Any]) -> str:
    """The text of the answer to a chat request."""
    messages = [(str(one.get("role")), _text(one.get("content"))) for one in body.get("messages", ())]
    schema = body.get("response_format", {}).get("json_schema", {}).get("schema")
    last = messages[-1][1] if messages else ""
    if schema is not None:
        found = ragas_reply(str(schema.get("title", "")), last)
        return json.dumps(found or _structured(frozenset(schema.get("properties", ())), last))
    passages = [(int(number), text) for number, _, text in _PASSAGE.findall(last)]
    if not passages:
        return _unprompted(last)
    is_told_off = any(role == "system" and _TOLD_OFF in text for role, text in messages)
    return _written(last, passages, is_told_off=is_told_off)


def _written(prompt: str, passages: Sequence[tuple[int, str]], *, is_told_off: bool) -> str:
    wanted = asked(prompt)
    found = [(number, fact) for number, text in passages for fact in facts(text)]
    if not is_told_off:
        for _, text in passages:
            if order := _ORDER.search(text):
                return order[1]
    if wanted is None:
        return NOTHING_FITS
    attribute, _ = wanted
    exact = [(number, fact) for number, fact in found if (fact.attribute, fact.entity) == wanted]
    near = [(number, Fact(*wanted, fact.value)) for number, fact in found if fact.attribute == attribute]
    made_up = [(passages[0][0], Fact(*wanted, MADE_UP))]
    candidates = exact or ([] if is_told_off else near or made_up)
    return f"{candidates[0][1].said()} [{candidates[0][0]}]." if candidates else NOTHING_FITS


def _unprompted(last: str) -> str:
    wanted = asked(last)
    return GREETING if wanted is None else f"{Fact(*wanted, MADE_UP).said()}."


def _structured(properties: frozenset[str], prompt: str) -> dict[str, Any]:
    """The judge's and the helper's replies, told apart by what they are to hold."""
    blocks = {name: text for name, _, text in _BLOCK.findall(prompt)}
    replies: dict[str, Callable[[], dict[str, Any]]] = {
        "statements": lambda: {"statements": sentences(blocks.get("text", ""))},
        "verdicts": lambda: {"verdicts": _verdicts(blocks)},
        "rating": lambda: {"rating": rating(blocks.get("question", ""), blocks.get("context", ""))},
        "is_noncommittal": lambda: _guess(blocks.get("answer", "")),
        "queries": lambda: {"queries": [prompt.strip()[:300]]},
        "route": lambda: {"route": "kb"},
        "verdict": lambda: {"verdict": True},
    }
    return next((make() for name, make in replies.items() if name in properties), {})


def _verdicts(blocks: Mapping[str, str]) -> list[bool]:
    lines = [line for line in blocks.get("statements", "").splitlines() if line.strip()]
    return [is_supported(line, blocks.get("context", "")) for line in lines]


def _guess(answer: str) -> dict[str, Any]:
    return {"question": guess(answer), "is_noncommittal": not facts(answer)}


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or "")
