"""What RAGAS' prompts ask for and its reply models leave open: which numbers are allowed, and that none is missing.

Knows RAGAS' replies as JSON alone, so that it needs no RAGAS.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from serve_app.errors import EngineFailed
from serve_app.evaluation.base import Metric
from serve_app.messages import JsonObject

_CHOICES = {"verdict": (0, 1), "attributed": (0, 1), "noncommittal": (0, 1), "rating": (0, 1, 2)}


def constrained(schema: JsonObject) -> JsonObject:
    """The reply's schema with the numbers that its prompt allows, for engines that keep to a schema.

    Without a field besides: OpenAI's API refuses a strict schema that leaves that open.
    """
    closed = _closed(schema)
    if "$defs" in schema:
        closed["$defs"] = {name: _closed(one) for name, one in schema["$defs"].items()}
    return closed


def _closed(schema: JsonObject) -> JsonObject:
    properties = {
        name: {**one, "enum": list(_CHOICES[name])} if name in _CHOICES else one
        for name, one in schema["properties"].items()
    }
    return {**schema, "properties": properties, "additionalProperties": False}


def require_choices(value: Any) -> None:
    """Check every number of a reply.

    Raises:
        EngineFailed: it is none of those that the prompt allows.
    """
    if isinstance(value, dict):
        for name, one in value.items():
            if name in _CHOICES and one not in _CHOICES[name]:
                raise EngineFailed(f"the judge's {name} is {one!r}, which is none of {_CHOICES[name]}")
            require_choices(one)
    elif isinstance(value, list):
        for one in value:
            require_choices(one)


def fault_of(metric: Metric, replies: Sequence[JsonObject]) -> str:
    """Why replies, each as its schema has it, make no score; empty if they do."""
    if metric is Metric.FAITHFULNESS:
        return _unjudged(replies, "the answer claims nothing")
    if metric is Metric.FACTUAL_CORRECTNESS:
        nothing = "the answer or the reference claims nothing"
        return (
            nothing
            if len(replies) != 4
            else _unjudged(replies[:2], nothing) or _unjudged(replies[2:], nothing)
        )
    if metric is Metric.CONTEXT_RECALL and not replies[0]["classifications"]:
        return "the reference claims nothing"
    if metric is Metric.ANSWER_RELEVANCY and not replies[0]["question"].strip():
        return "the judge guessed no question"
    return ""


def _unjudged(replies: Sequence[JsonObject], nothing: str) -> str:
    """Of a list of claims and the verdicts on them."""
    if len(replies) != 2:
        return nothing
    claimed = replies[0]["claims" if "claims" in replies[0] else "statements"]
    judged = replies[1]["statements"]
    if len(claimed) != len(judged):
        return f"the judge gave {len(judged)} verdicts on {len(claimed)} statements"
    return ""
