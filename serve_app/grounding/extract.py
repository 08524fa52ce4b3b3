"""An extractive answer: the passages' own sentences that fit a question best, word for word.

Pure and deterministic. A sentence is worth the share of the question's words that it holds, each
weighted by how rare it is among the prompt's sentences (idf as in BM25); headings above it count for
less than its own words, and passages that the search ranked lower count for less. Each further
sentence is worth what it adds: the words that those before it did not have.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from serve_app.grounding.prompt import Source
from serve_app.grounding.sentences import Kind, Sentence, sentences
from serve_app.grounding.terms import terms

# What gets a model that answers in its own words; for messages of those who only quote.
PULL_COMMAND = "manta models pull qwen2.5-1.5b-instruct"

# All weights are judgements, checked on documentation and on scientific abstracts, not fitted.
_KIND_WEIGHT = {Kind.PROSE: 1.0, Kind.ITEM: 0.9, Kind.TABLE: 0.85, Kind.CODE: 0.3, Kind.HEADING: 0.1}
_LABEL_WEIGHT = 0.4  # of a question word that stands in the headings, not in the sentence
_RANK_DECAY = 0.12  # a passage at rank r counts 1 / (1 + decay * r), r from 0
_FIRST_SENTENCE_BONUS = 1.1  # documentation says first what a section is about
_SUBJECT_BONUS = 1.2  # a sentence that begins with what was asked about
_QUESTION_WEIGHT = 0.25  # a sentence that asks does not answer
_DANGLING_WEIGHT = 0.6  # "as follows:" whose list is not quoted with it
_SEEN_WEIGHT = 0.55  # of question words that a chosen sentence has already
_ABSENT_WEIGHT = 0.5  # of question words that no sentence has: they tell no two apart
_MIN_SHARE = 0.15  # of the question's weight; less is chance
_MIN_OF_BEST = 0.4  # a further sentence that is worth less than this part of the best is padding
_MAX_OVERLAP = 0.6  # Jaccard of content words; above it two sentences say the same
_SHORT_WORDS, _LONG_WORDS = 8, 45
_MIN_ECHO_WORDS = 4  # a shorter question may well stand inside its answer
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Quote:
    """A sentence and the number of the passage that it stands in."""

    number: int
    sentence: Sentence

    def cited(self) -> str:
        """The sentence with its citation, which goes before code that the sentence introduces."""
        text, _, code = self.sentence.text.partition("\n")
        if self.sentence.kind is Kind.CODE:
            return f"{self.sentence.text}\n[{self.number}]"
        return f"{text} [{self.number}]" + (f"\n{code}" if code else "")


@dataclass(frozen=True, slots=True)
class _Candidate:
    quote: Quote
    rank: int  # of the passage, from 0
    words: frozenset[str]
    subject: str | None  # its first word
    label_words: frozenset[str]
    num_words: int


def extract(question: str, sources: Sequence[Source], max_sentences: int) -> tuple[Quote, ...]:
    """The best sentences in reading order, passages in their order; none if no sentence fits."""
    wanted = frozenset(terms(question))
    candidates = [one for one in _candidates(sources) if not _echoes(one, question)]
    weights = _idf(wanted, [candidate.words for candidate in candidates])
    chosen: list[_Candidate] = []
    best = 0.0
    while candidates and len(chosen) < max_sentences:
        seen = frozenset[str]().union(*(one.words for one in chosen))
        value, winner = max(
            ((_value(one, weights, seen), one) for one in candidates), key=lambda scored: scored[0]
        )
        best = best or value
        if value < max(_MIN_SHARE, _MIN_OF_BEST * best):
            break
        chosen.append(winner)
        candidates = [one for one in candidates if one is not winner and not _repeats(one, winner)]
    chosen.sort(key=lambda one: (one.rank, one.quote.sentence.position))
    return tuple(one.quote for one in chosen)


def compose(quotes: Sequence[Quote]) -> list[str]:
    """The answer's pieces, to be sent one after the other: a paragraph for each passage."""
    pieces: list[str] = []
    for at, quote in enumerate(quotes):
        if at == 0:
            separator = ""
        elif quotes[at - 1].number != quote.number or "\n" in pieces[-1].strip():
            separator = "\n\n"
        else:
            separator = " "
        pieces.append(separator + quote.cited())
    return pieces


def nearest_sentence(claim: str, source: Source) -> str | None:
    """The sentence of the passage that shares most with a claim; None if none shares a word."""
    wanted = frozenset(terms(claim))
    found, best = None, 0.0
    for sentence in sentences(source.text):
        words = frozenset(terms(sentence.text))
        # Cosine of the two sets: long sentences share words by chance.
        shared = len(wanted & words) / math.sqrt(len(wanted) * len(words)) if wanted and words else 0.0
        if shared > best:
            found, best = sentence.text, shared
    return found


def _candidates(sources: Sequence[Source]) -> list[_Candidate]:
    found = []
    for rank, source in enumerate(sources):
        label_words = above = frozenset(terms(source.label))
        for sentence in sentences(source.text):
            words = terms(sentence.text)
            if sentence.kind is Kind.HEADING:  # of a section, or of a table's columns
                above = label_words | frozenset(words)
            found.append(
                _Candidate(
                    quote=Quote(source.number, sentence),
                    rank=rank,
                    words=frozenset(words),
                    subject=words[0] if words else None,
                    label_words=above,
                    # Scripts without spaces have one word to the eye of split(), and several terms.
                    num_words=max(len(sentence.text.split()), len(words)),
                )
            )
    return found


def _idf(wanted: Collection[str], documents: Sequence[Collection[str]]) -> dict[str, float]:
    """word -> its share of the question's weight; the shares of all words add up to 1."""
    counts = Counter(word for document in documents for word in set(document) if word in wanted)
    total = len(documents)
    raw = {
        word: math.log(1.0 + (total - counts[word] + 0.5) / (counts[word] + 0.5))
        * (1.0 if counts[word] else _ABSENT_WEIGHT)
        for word in sorted(wanted)
    }
    whole = sum(raw.values())
    return {word: weight / whole for word, weight in raw.items()}


def _value(one: _Candidate, weights: Mapping[str, float], seen: Collection[str]) -> float:
    own = one.words & weights.keys()
    if not own:
        return 0.0
    value = sum(weights[word] * (_SEEN_WEIGHT if word in seen else 1.0) for word in sorted(own))
    in_label = (one.label_words & weights.keys()) - own - set(seen)
    value += _LABEL_WEIGHT * sum(weights[word] for word in sorted(in_label))
    sentence = one.quote.sentence
    value *= _KIND_WEIGHT[sentence.kind] / (1.0 + _RANK_DECAY * one.rank)
    if sentence.position == 0:
        value *= _FIRST_SENTENCE_BONUS
    if one.subject in weights:
        value *= _SUBJECT_BONUS
    if sentence.text.endswith("?"):
        value *= _QUESTION_WEIGHT
    if sentence.text.endswith(":"):
        value *= _DANGLING_WEIGHT
    return value * min(1.0, one.num_words / _SHORT_WORDS, _LONG_WORDS / max(1, one.num_words))


def _echoes(one: _Candidate, question: str) -> bool:
    """Whether the sentence holds the whole question: an example of asking is no answer."""
    asked = _WORD.findall(question.lower())
    said = _WORD.findall(one.quote.sentence.text.lower())
    return len(asked) >= _MIN_ECHO_WORDS and f" {' '.join(asked)} " in f" {' '.join(said)} "


def _repeats(one: _Candidate, other: _Candidate) -> bool:
    union = len(one.words | other.words)
    return union > 0 and len(one.words & other.words) / union > _MAX_OVERLAP
