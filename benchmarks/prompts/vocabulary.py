"""Words that are one token each wherever they stand, found by asking a tokenizer as little as possible.

Many words are counted in one text. Where a text of k words has k tokens, all of them are one token;
where it has more, its halves are asked. Words that only together have the right count slip through;
the texts made of them are counted again in `generated`, which finds that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.prompts.token_counter import TokenCounter

# A byte of randomness chooses a word, so sizes are powers of two up to 256.
MAX_WORDS = 256
MIN_WORDS = 16
_NUM_STARTERS = 8
_GROUP_WORDS = 64
_MAX_REMOTE_TEXTS = 600  # at some milliseconds each, and eight at once, a matter of seconds
# Halving a group whose words have so many tokens in the mean costs more than it finds.
_HOPELESS_TOKENS_PER_WORD = 3.0
_HOPELESS_WORDS = 8


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Words to make texts of.

    Args:
        words: 16, 32, 64, 128 or 256; each one token after a space.
        starters: some of them, a power of two; one token at the start of a text, too.
    """

    words: tuple[str, ...]
    starters: tuple[str, ...]


def find_vocabulary(
    counters: Sequence[TokenCounter], candidates: Sequence[str]
) -> tuple[Vocabulary | None, str]:
    """Words that are one token for every counter, in the candidates' order; or None and why.

    Raises:
        BadTarget: a counter's server fails.
        CannotCount: a counter gives no count.
    """
    starters = list(candidates[:_NUM_STARTERS])
    for counter in counters:
        counts = counter.count(starters)
        starters = [word for word, count in zip(starters, counts, strict=True) if count == 1]
        if not starters:
            return None, f"{counter.name} has no common word as one token at the start of a text"
    words = list(candidates)
    for num_left, counter in zip(range(len(counters), 0, -1), counters, strict=True):
        # The next counter will not agree with all of them.
        words = _single_tokens(counter, starters[0], words, num_wanted=num_left * MAX_WORDS)
        if len(words) < MIN_WORDS:
            return None, f"{counter.name} has {len(words)} of {len(candidates)} common words as one token"
    words = words[: _power_of_two(min(len(words), MAX_WORDS))]
    starters = [word for word in starters if word in words]
    if not starters:
        return None, "no word is one token both at the start of a text and after a space"
    return Vocabulary(tuple(words), tuple(starters[: _power_of_two(len(starters))])), ""


def _single_tokens(
    counter: TokenCounter, starter: str, words: Sequence[str], *, num_wanted: int
) -> list[str]:
    """The first of the words that are one token after a space, or as many as a bounded search finds."""
    found: set[int] = set()
    num_texts = 0
    waiting = [
        range(start, min(start + _GROUP_WORDS, len(words))) for start in range(0, len(words), _GROUP_WORDS)
    ]
    while waiting and len(found) < num_wanted:
        # Only as many groups as would do if all their words were good.
        num_groups = -(-(num_wanted - len(found)) // _GROUP_WORDS)
        groups, waiting = waiting[:num_groups], waiting[num_groups:]
        while groups:
            num_texts += len(groups)
            if counter.is_remote and num_texts > _MAX_REMOTE_TEXTS:
                return [words[index] for index in sorted(found)]
            counts = counter.count(
                [" ".join([starter, *words[group[0] : group[-1] + 1]]) for group in groups]
            )
            bad = []
            for group, count in zip(groups, counts, strict=True):
                if count == 1 + len(group):
                    found.update(group)
                elif len(group) > 1 and not (counter.is_remote and _is_hopeless(group, count)):
                    bad.append(group)
            groups = [half for group in bad for half in _halves(group)]
    return [words[index] for index in sorted(found)][:num_wanted]


def _is_hopeless(group: range, num_tokens: int) -> bool:
    return len(group) >= _HOPELESS_WORDS and num_tokens > _HOPELESS_TOKENS_PER_WORD * len(group)


def _halves(group: range) -> tuple[range, range]:
    middle = len(group) // 2
    return group[:middle], group[middle:]


def _power_of_two(number: int) -> int:
    return 1 << (number.bit_length() - 1)
