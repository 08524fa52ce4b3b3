"""Prompts for the models of `gguf_models`: words that are one token each, so their number is exact."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from benchmarks.llamacpp_chat.cases import Case

_NUM_BEGINNING = 1  # every server puts the model's token for the beginning of a text before the words


def prompts_of(case: Case, num_words: int, seed: int, num: int | None = None) -> list[str]:
    """Different prompts of exactly `case.prompt_tokens` tokens, the same ones for the same seed.

    Args:
        case: lengths.
        num_words: of the model's vocabulary.
        seed: of everything; another seed has no prompt and no shared beginning in common with this one.
        num: prompts; None: one for each request.
    """
    rng = np.random.default_rng(seed)
    num_shared = max(0, case.shared_tokens - _NUM_BEGINNING)
    shared = _words(rng, num_shared, num_words)
    num_own = case.prompt_tokens - _NUM_BEGINNING - num_shared
    count = case.num_requests if num is None else num
    # The first words of the own parts are drawn without repetition: a prefix cache finds nothing by chance.
    firsts = rng.choice(num_words, size=count, replace=False)
    return [
        " ".join([*shared, f"w{first}", *_words(rng, num_own - 1, num_words)]) for first in firsts.tolist()
    ]


def write_prompts(path: Path, prompts: list[str]) -> Path:
    """As the benchmark's client reads them."""
    lines = (json.dumps({"prompt": prompt}) for prompt in prompts)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _words(rng: np.random.Generator, num: int, num_words: int) -> list[str]:
    return [f"w{index}" for index in rng.integers(num_words, size=num).tolist()]
