"""Any OpenAI-compatible server as a tokenizer: it says in `usage.prompt_tokens` what it counted.

What the chat template and special tokens add is found by asking for texts of several lengths: they add
the same to each. So nothing needs to be known of the model, and nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from benchmarks.discovery.abilities import question, usage_count
from benchmarks.discovery.probe import Answer, Probe
from benchmarks.endpoints import PATHS
from benchmarks.errors import CannotCount

Kind = Literal["chat", "completions", "embeddings"]
# Several, because a word may be special to one tokenizer. The unit of length is one of them.
_FILLERS = ("one", "and", "time", "a")
_NUM_WORDS = (8, 16, 32)


class UsageCounter:
    """A TokenCounter that asks for one token of output, or an embedding, and reads the usage.

    Args:
        num_extra_tokens: what the server adds to a text of any length.
    """

    is_remote = True

    def __init__(self, probe: Probe, kind: Kind, model: str, num_extra_tokens: int) -> None:
        self._probe = probe
        self._kind: Kind = kind
        self._model = model
        self.num_extra_tokens = num_extra_tokens

    @property
    def name(self) -> str:
        return f"usage of {self._probe.url}{PATHS[self._kind]} for {self._model}"

    def count(self, texts: Sequence[str]) -> list[int]:
        counts = _prompt_tokens(self._probe, self._kind, self._model, texts)
        return [count - self.num_extra_tokens for count in counts]


def open_usage_counter(probe: Probe, kind: Kind, model: str) -> UsageCounter:
    """A counter, once it is known what the server adds to each text.

    Raises:
        BadTarget: the server fails or refuses.
        CannotCount: its usage is missing, or does not grow with the text.
    """
    few = twice = fourfold = 0
    for filler in _FILLERS:
        texts = [" ".join([filler] * num_words) for num_words in _NUM_WORDS]
        few, twice, fourfold = _prompt_tokens(probe, kind, model, texts)
        step = twice - few
        if step > 0 and fourfold - twice == 2 * step:
            return UsageCounter(probe, kind, model, num_extra_tokens=few - step)
    raise CannotCount(
        f"usage of {probe.url}{PATHS[kind]} does not grow with the text: {few}, {twice} and {fourfold} "
        f"prompt tokens for {_NUM_WORDS[0]}, {_NUM_WORDS[1]} and {_NUM_WORDS[2]} words"
    )


def _prompt_tokens(probe: Probe, kind: Kind, model: str, texts: Sequence[str]) -> list[int]:
    answers = probe.post_all(PATHS[kind], [question(kind, model, text, max_tokens=1) for text in texts])
    return [_count(answer) for answer in answers]


def _count(answer: Answer) -> int:
    count = usage_count(answer.document(), "prompt_tokens")
    if count is None:
        raise CannotCount(f"{answer.asked} answers without usage.prompt_tokens")
    return count
