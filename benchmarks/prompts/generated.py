"""Texts of an exact number of tokens, made of words that are one token each.

A text is the blocks of its parts, joined by spaces. A block follows from the seed and its key alone, one
byte of a hash for each word, so that different keys differ from their first words on: a server's prefix
cache shares what the schedule shares, and nothing else.

Whether lengths are exact is not believed but counted, in a sample of texts; where they are not, the
source says so and goes on.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from benchmarks.prompts.candidates import CANDIDATES
from benchmarks.prompts.text_file import TextFiles
from benchmarks.prompts.token_counter import TokenCounter
from benchmarks.prompts.vocabulary import MAX_WORDS, Vocabulary, find_vocabulary

MAX_CACHED_CHARS = 64 * 1024 * 1024
# Parts of texts that are counted at the start. All fit into a context of 256 tokens, as embedders have.
_SAMPLE: tuple[tuple[int, ...], ...] = ((1,), (3, 1, 2), (64, 64), (100, 1, 99))
_LONG_SAMPLE: tuple[tuple[int, ...], ...] = (*((n,) for n in range(1, 65)), (512, 512, 512, 7), (4099,))

Exactness = Literal["exact", "approximate"]


class GeneratedPrompts:
    """A PromptSource of generated words, and of files.

    Args:
        tokens_per_word: more or less than 1 only where the words are not one token each.
        exactness: whether texts have exactly the tokens that were asked for.
        reason: how that is known, or why they have not.
        tokenizers: what counted.
    """

    def __init__(
        self,
        seed: int,
        vocabulary: Vocabulary,
        *,
        exactness: Exactness,
        reason: str,
        tokens_per_word: float = 1.0,
        tokenizers: Sequence[str] = (),
    ) -> None:
        self.exactness: Exactness = exactness
        self.reason = reason
        self.tokenizers = tuple(tokenizers)
        self._seed = seed
        self._vocabulary = vocabulary
        self._tokens_per_word = tokens_per_word
        # byte -> word
        self._words = _table(vocabulary.words)
        self._starters = _table(vocabulary.starters)
        self._num_words = len(vocabulary.words)
        self._blocks: OrderedDict[tuple[str, int], str] = OrderedDict()  # least recently used first
        self._num_cached_chars = 0
        self._files = TextFiles()

    def seeded(self, seed: int) -> GeneratedPrompts:
        return GeneratedPrompts(
            seed,
            self._vocabulary,
            exactness=self.exactness,
            reason=self.reason,
            tokens_per_word=self._tokens_per_word,
            tokenizers=self.tokenizers,
        )

    def compose(self, parts: Sequence[tuple[str, int]]) -> str:
        return " ".join([self._block(key, num_tokens) for key, num_tokens in parts if num_tokens])

    def fixed(self, path: Path, index: int) -> str:
        return self._files.text(path, index)

    def found(self) -> dict[str, object]:
        """What a reader of the results should know, as JSON."""
        return {
            "exactness": self.exactness,
            "reason": self.reason,
            "tokenizers": list(self.tokenizers),
            "num_words": self._num_words,
        }

    def _block(self, key: str, num_tokens: int) -> str:
        cached = self._blocks.get((key, num_tokens))
        if cached is not None:
            self._blocks.move_to_end((key, num_tokens))
            return cached
        block = self._make_block(key, num_tokens)
        self._blocks[key, num_tokens] = block
        self._num_cached_chars += len(block)
        while self._num_cached_chars > MAX_CACHED_CHARS:
            self._num_cached_chars -= len(self._blocks.popitem(last=False)[1])
        return block

    def _make_block(self, key: str, num_tokens: int) -> str:
        if num_tokens < 0:
            raise ValueError(f"{key} has {num_tokens} tokens")
        num_words = max(1, round(num_tokens / self._tokens_per_word))
        drawn = hashlib.shake_128(f"{self._seed}:{key}".encode()).digest(num_words)
        words = list(map(self._words.__getitem__, drawn))
        words[0] = self._starters[drawn[0]]
        return " ".join(words)


def prepare_prompts(
    seed: int,
    counters: Sequence[TokenCounter],
    candidates: Sequence[str] = CANDIDATES,
    *,
    why: str = "nothing counts tokens",
) -> GeneratedPrompts:
    """Prompts that have as many tokens as planned for all the counters, as far as that can be had.

    Several counters are several models in a mix.

    Args:
        why: why there are no counters, if there are none; lengths are then in words.

    Raises:
        BadTarget: a counter's server fails.
        CannotCount: a counter gives no count.
    """
    names = [counter.name for counter in counters]
    if not counters:
        reason = f"{why}; lengths are words"
        return GeneratedPrompts(seed, _any_words(candidates), exactness="approximate", reason=reason)
    vocabulary, why = find_vocabulary(counters, candidates)
    if vocabulary is not None:
        prompts = GeneratedPrompts(
            seed, vocabulary, exactness="exact", reason=_proof(counters), tokenizers=names
        )
        why = _first_fault(prompts, counters)
        if not why:
            return prompts
    else:
        vocabulary = _any_words(candidates)
    return _approximate(seed, vocabulary, counters, why)


def _proof(counters: Sequence[TokenCounter]) -> str:
    texts = sum(len(_sample(counter)) for counter in counters)
    return f"{texts} generated texts were counted, and all have the planned tokens"


def _first_fault(prompts: GeneratedPrompts, counters: Sequence[TokenCounter]) -> str:
    """What is wrong with the first text that has not the planned tokens; empty if there is none."""
    for counter in counters:
        for planned, counted in _counted_sample(prompts, counter):
            if planned != counted:
                return f"a generated text of {planned} tokens has {counted} by {counter.name}"
    return ""


def _approximate(
    seed: int, vocabulary: Vocabulary, counters: Sequence[TokenCounter], why: str
) -> GeneratedPrompts:
    """As near as a mean number of tokens per word comes, by the first counter."""
    names = [counter.name for counter in counters]
    by_words = GeneratedPrompts(seed, vocabulary, exactness="approximate", reason=why)
    sample = _counted_sample(by_words, counters[0])
    tokens_per_word = sum(counted for _, counted in sample) / sum(words for words, _ in sample)
    reason = f"{why}; lengths are by a mean of {tokens_per_word:.3g} tokens per word"
    return GeneratedPrompts(
        seed,
        vocabulary,
        exactness="approximate",
        reason=reason,
        tokens_per_word=tokens_per_word,
        tokenizers=names,
    )


def _sample(counter: TokenCounter) -> tuple[tuple[int, ...], ...]:
    return _SAMPLE if counter.is_remote else (*_SAMPLE, *_LONG_SAMPLE)


def _counted_sample(prompts: GeneratedPrompts, counter: TokenCounter) -> list[tuple[int, int]]:
    """(planned tokens, counted tokens) of texts whose keys no schedule uses."""
    sample = _sample(counter)
    texts = [
        prompts.compose([(f"proof:{at}:{part}", num_tokens) for part, num_tokens in enumerate(parts)])
        for at, parts in enumerate(sample)
    ]
    planned = [sum(parts) for parts in sample]
    return list(zip(planned, counter.count(texts), strict=True))


def _any_words(candidates: Sequence[str]) -> Vocabulary:
    num_words = 1 << (min(len(candidates), MAX_WORDS).bit_length() - 1)
    words = tuple(candidates[:num_words])
    return Vocabulary(words, words)


def _table(words: Sequence[str]) -> tuple[str, ...]:
    return tuple(words[byte % len(words)] for byte in range(256))
