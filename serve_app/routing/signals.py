"""Cheap signals that a question is hard, or that an answer will not do. Pure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any

from configs.schema import CascadeConfig
from serve_app.messages import JsonObject
from serve_app.routing.base import Why
from serve_app.routing.texts import prompt_texts

# Signs of code that prose does not have: fences, definitions, includes, statements that end lines.
_CODE = re.compile(
    r"```|^[ \t]{0,40}(?:def|class|import|from|func|fn|public|private|#include|SELECT|INSERT|CREATE)\b.{0,200}[:;({<]"
    r"|^.{0,200}[;{}][ \t]*$|=>|\(\) ?\{",
    re.MULTILINE,
)
_SAYS = re.compile(r"\W*(yes|no)\b", re.IGNORECASE)
JUDGE_PROMPT = (
    "You check answers. Reply with one word: YES if the answer is correct, complete and follows the instructions; "
    "NO if it is wrong, unsure, evasive or incomplete."
)


def hard_because(body: JsonObject, config: CascadeConfig) -> Why | None:
    """What of the request says that the small model need not be asked; None: nothing."""
    texts = [said.text for said in prompt_texts(body)]
    if config.max_prompt_chars is not None and sum(map(len, texts)) > config.max_prompt_chars:
        return Why.LENGTH
    if config.code_is_hard and any(_CODE.search(text) for text in texts):
        return Why.CODE
    return None


def mean_logprob(logprobs: Sequence[float], num_tokens: int | None = None) -> float | None:
    """Of the first tokens; None: there are none, which says nothing about the answer."""
    looked_at = logprobs[:num_tokens]
    return math.fsum(looked_at) / len(looked_at) if looked_at else None


def token_logprobs(choice: JsonObject) -> list[float]:
    """Of a choice of a document, or of a stream's event; in chat's shape or in that of plain completions."""
    told = choice.get("logprobs") or {}
    if isinstance(told.get("content"), list):
        return [float(token["logprob"]) for token in told["content"]]
    return [float(one) for one in told.get("token_logprobs") or () if one is not None]


def judge_body(judge: str, body: JsonObject, answer: str) -> JsonObject:
    """What the judge is asked: the prompt's texts and the answer, in blocks of their own."""
    prompt = "\n".join(said.text for said in prompt_texts(body))
    question = f"<question>\n{prompt}\n</question>\n<answer>\n{answer}\n</answer>\nIs the answer correct?"
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": JUDGE_PROMPT},
        {"role": "user", "content": question},
    ]
    return {"model": judge, "messages": messages, "max_tokens": 4, "temperature": 0.0}


def is_yes(document: bytes) -> bool:
    """Whether a judge's answer begins with yes. One that cannot be read is none."""
    try:
        text = json.loads(document)["choices"][0]["message"]["content"] or ""
    except (ValueError, KeyError, IndexError, TypeError):
        return False
    said = _SAYS.match(text)
    return said is not None and said[1].lower() == "yes"
