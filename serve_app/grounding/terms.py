"""The words of a text that carry its content, in the form in which they are compared."""

from __future__ import annotations

import re

_WORD = re.compile(r"\w+")
_NO_SPACES = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uac00-\ud7af]+")
_HIRAGANA = re.compile(r"[\u3040-\u309f]+")
_COMMON_WORDS = """
a about after all also am an and any are as at be because been before being between both but by can
could did do does doing done during each few for from further get gets give given had has have having
he her here him his how i if in into is it its just let like may me might more most must my no nor not
of off on once one only or other our out over own please same shall she should so some such tell than
that the their them then there these they this those through to too under until up us very was we were
what when where which while who whom whose why will with within without would you your
"""
_STOP_WORDS = frozenset(_COMMON_WORDS.split())

# (ending, what stands in for it, letters that must be left)
_ENDINGS = (
    ("ies", "y", 2),
    ("sses", "ss", 2),
    ("ss", "ss", 0),
    ("ing", "", 3),
    ("ers", "", 4),
    ("er", "", 4),
    ("ed", "", 3),
    ("es", "", 3),
    ("s", "", 3),
)


def terms(text: str) -> list[str]:
    """Content words in their order: lower case, without common words, plural and verb endings cut.

    Scripts that write no spaces give pairs of characters instead of words.
    """
    found = []
    for word in _WORD.findall(text.lower()):
        if _NO_SPACES.search(word):
            pairs = [word[at : at + 2] for at in range(max(1, len(word) - 1))]
            found += [pair for pair in pairs if not _HIRAGANA.fullmatch(pair)]  # particles and endings
        elif word not in _STOP_WORDS and (len(word) > 1 or word.isdigit()):
            found.append(_stem(word))
    return found


def _stem(word: str) -> str:
    """The word without common English endings: enough to match `streams` with `streaming`."""
    if len(word) <= 3 or not word.isascii():
        return word
    for ending, instead, num_left in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= num_left:
            word = word.removesuffix(ending) + instead
            break
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "lsz":
        word = word[:-1]  # stopp(ed)
    return word.removesuffix("e") if len(word) > 3 else word
