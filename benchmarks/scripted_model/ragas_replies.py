"""The scripted judge asked by RAGAS: what it says to the prompts of RAGAS 0.4, told apart by the reply's title. Pure.

Its judgement is that of `replies`, so that both evaluators score the same answers alike.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.scripted_model.facts import facts, guess, is_supported, rating, sentences


def ragas_reply(title: str, prompt: str) -> dict[str, Any] | None:
    """The reply of this title; None: it is none of RAGAS'."""
    make = _REPLIES.get(title)
    if make is None:
        return None
    asked = prompt.rpartition("\ninput: ")[2].rpartition("\nOutput:")[0]
    return make(json.loads(asked))


def _statements(asked: Mapping[str, Any]) -> dict[str, Any]:
    return {"statements": sentences(asked["answer"])}


def _claims(asked: Mapping[str, Any]) -> dict[str, Any]:
    return {"claims": sentences(asked["response"])}


def _verdicts(asked: Mapping[str, Any]) -> dict[str, Any]:
    verdicts = [
        {"statement": one, "reason": "", "verdict": int(is_supported(one, asked["context"]))}
        for one in asked["statements"]
    ]
    return {"statements": verdicts}


def _classifications(asked: Mapping[str, Any]) -> dict[str, Any]:
    found = [
        {"statement": one, "reason": "", "attributed": int(is_supported(one, asked["context"]))}
        for one in sentences(asked["answer"])
    ]
    return {"classifications": found}


def _guess(asked: Mapping[str, Any]) -> dict[str, Any]:
    answer = asked["response"]
    return {"question": guess(answer), "noncommittal": int(not facts(answer))}


_REPLIES: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "StatementGeneratorOutput": _statements,
    "NLIStatementOutput": _verdicts,
    "AnswerRelevanceOutput": _guess,
    "ContextRelevanceOutput": lambda asked: {"rating": rating(asked["user_input"], asked["context"])},
    "ContextRecallOutput": _classifications,
    "ClaimDecompositionOutput": _claims,
    "ContextPrecisionOutput": lambda asked: {"reason": "", "verdict": 1},
}
