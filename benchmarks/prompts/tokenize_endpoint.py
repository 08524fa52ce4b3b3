"""A server's own tokenizer over HTTP: `POST /tokenize`, which is no part of OpenAI's API.

Two forms of it are in use: vLLM's (https://docs.vllm.ai, "Tokenizer API") and llama.cpp's (its server's
README, "POST /tokenize"). Which one a server speaks is found by asking.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from benchmarks.discovery.probe import Answer, Probe
from benchmarks.errors import BadTarget, CannotCount

PATH = "/tokenize"
Dialect = Literal["vllm", "llama.cpp"]
DIALECTS: tuple[Dialect, ...] = ("vllm", "llama.cpp")
_TEXT = "one two three"


class TokenizeEndpoint:
    """A TokenCounter that asks `/tokenize`."""

    is_remote = True

    def __init__(self, probe: Probe, model: str, dialect: Dialect) -> None:
        self._probe = probe
        self._model = model
        self._dialect: Dialect = dialect

    @property
    def name(self) -> str:
        return f"{self._probe.url}{PATH} for {self._model}"

    def count(self, texts: Sequence[str]) -> list[int]:
        bodies = [_body(self._dialect, self._model, text) for text in texts]
        return [_count(self._dialect, answer) for answer in self._probe.post_all(PATH, bodies)]


def find_dialect(probe: Probe, model: str) -> tuple[Dialect | None, str]:
    """The form of /tokenize that the server speaks for the model, or None and why not."""
    faults: dict[str, None] = {}  # in order, each once
    for dialect in DIALECTS:
        try:
            answer = probe.post(PATH, _body(dialect, model, _TEXT))
            # llama.cpp's server answers a question it does not understand with no tokens.
            if _count(dialect, answer) > 0:
                return dialect, ""
            faults[f"{answer.asked} counts no tokens in {_TEXT!r}"] = None
        except (BadTarget, CannotCount) as exc:
            faults[str(exc)] = None
    return None, "; ".join(faults)


def _body(dialect: Dialect, model: str, text: str) -> dict[str, Any]:
    if dialect == "vllm":
        return {"model": model, "prompt": text, "add_special_tokens": False}
    return {"content": text, "add_special": False}


def _count(dialect: Dialect, answer: Answer) -> int:
    document = answer.document()
    tokens = document.get("tokens")
    if not isinstance(tokens, list):
        raise CannotCount(f"{answer.asked} answered without tokens")
    if dialect == "vllm" and document.get("count") != len(tokens):
        raise CannotCount(f"{answer.asked} answered without their count")
    return len(tokens)
