"""Finds and replaces in one pass, in whole texts and in streams alike.

A stream is held back by no more than what may still become a match: the end of the text that is made of a pattern's own
characters, and at most as long as its longest match. However a text is cut into pieces, what comes out is the same.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from serve_app.guards.base import Action, Finding, Pattern
from serve_app.guards.plain import plain_of

# How far patterns may look back.
_LOOK_BACK = 2
_SEVERITY = {Action.BLOCK: 0, Action.REDACT: 1, Action.FLAG: 2}

Report = Callable[[Finding], None]
Gate = Callable[[str], bool]
Search = Callable[..., re.Match[str] | None]


class Scanner:
    """Patterns with what becomes of their matches, compiled. May be used by any number of scrubbers at once.

    Of matches that begin at the same place, one that is blocked is taken before one that is redacted or flagged.
    """

    def __init__(self, patterns: Sequence[tuple[Pattern, Action]]) -> None:
        ordered = sorted(patterns, key=lambda one: (_SEVERITY[one[1]], one[0].before))
        self.patterns = tuple(ordered)
        self.blocks = any(action is Action.BLOCK for _, action in ordered)
        self.hides = any(action is not Action.FLAG for _, action in ordered)
        self._regex = _combined([one for one, _ in ordered])
        self._each = tuple(re.compile(one.before + one.regex) for one, _ in ordered)
        self._is_gated = all(one.gate is not None for one, _ in ordered)
        self._gates, self._marks, self._marked_gates = _gates_of([one for one, _ in ordered])
        self.plain = plain_of([one for one, _ in ordered])
        self._holds = _holds_of([one for one, _ in ordered])
        # last character of a text -> what may be held back of it
        self._holds_at = {char: _ending_in(char, self._holds) for char in map(chr, range(128))}

    def held_from(self, text: str) -> int:
        """Where the part of a text begins whose matches depend on what comes after it."""
        held = length = len(text)
        last = text[-1:]
        holds = self._holds_at.get(last)
        for hold in _ending_in(last, self._holds) if holds is None else holds:
            start = max(0, length - hold.max_chars)
            if hold.alphabet:
                start = max(start, len(text.rstrip(hold.alphabet)))
            if start >= held:
                continue
            if hold.begun is None:
                held = start
            elif (begun := hold.begun(text[start:].lower() if hold.is_lowered else text[start:])) is not None:
                held = min(held, start + begun.start())
        return held

    def may_find(self, text: str) -> bool:
        """False: there is no match in the text, which took little to know."""
        if not self._is_gated:
            return True
        for gate in self._gates:  # (a generator would take as long as the gates, for each token)
            if gate(text):
                return True
        if self._marks is None or self._marks(text) is None:
            return False
        return any(gate(text) for gate in self._marked_gates)

    def find(self, text: str, start: int, limit: int) -> tuple[int, int, int] | None:
        """(start, end, number of the pattern) of the first match that begins in [start, limit); None: there is none."""
        while start < limit:
            match = self._regex.search(text, start)
            if match is None or match.start() >= limit:
                return None
            first = int((match.lastgroup or "p0")[1:])
            for number in range(first, len(self._each)):
                found = match if number == first else self._each[number].match(text, match.start())
                if found is not None and self._is_real(number, found.group()):
                    return found.start(), found.end(), number
            start = match.start() + 1
        return None

    def _is_real(self, number: int, text: str) -> bool:
        check = self.patterns[number][0].is_real
        return check is None or check(text)


def _combined(patterns: Sequence[Pattern]) -> re.Pattern[str]:
    """All of them as one expression, in their order. What has to stand before several is looked at once for all."""
    runs = []
    for before, run in itertools.groupby(enumerate(patterns), key=lambda one: one[1].before):
        runs.append(before + "(?:" + "|".join(f"(?P<p{at}>{one.regex})" for at, one in run) + ")")
    return re.compile("|".join(runs))


def _gates_of(
    patterns: Sequence[Pattern],
) -> tuple[tuple[Gate, ...], Search | None, tuple[Gate, ...]]:
    """(gates of patterns without marks, what finds a mark of the others, their gates). Many have the same one."""
    plain = [one.gate for one in patterns if one.gate is not None and not one.marks]
    marked = [one.gate for one in patterns if one.gate is not None and one.marks]
    marks = "".join(sorted({mark for one in patterns for mark in one.marks}))
    search = re.compile(f"[{re.escape(marks)}]").search if marks else None
    return tuple(dict.fromkeys(plain)), search, tuple(dict.fromkeys(marked))


@dataclass(frozen=True, slots=True)
class _Hold:
    """What has to be held back of a text's end: at most so many characters of an alphabet, from a match's possible
    beginning on. Without an alphabet any characters; without `begun` from the first of them on.

    Args:
        is_lowered: `begun` is asked about text in lower case; the alphabet is ASCII, so that its length is the same.
    """

    alphabet: str
    max_chars: int
    begun: Search | None
    is_lowered: bool


def _holds_of(patterns: Sequence[Pattern]) -> tuple[_Hold, ...]:
    """Without those of which another one always holds back as much: they are asked for each token."""
    holds: dict[tuple[str, tuple[str, ...], str], int] = {}
    for one in patterns:
        key = (one.alphabet, one.openings, one.begins or one.alphabet)
        holds[key] = max(holds.get(key, 0), one.max_chars)
    needed: list[tuple[str, int, tuple[str, ...], str]] = []
    for (alphabet, openings, begins), max_chars in sorted(
        holds.items(), key=lambda one: (-one[1], -len(one[0][0]))
    ):
        is_held_anyway = any(
            not of
            and max_chars <= most
            and (not larger or (alphabet and set(alphabet) <= set(larger) and set(begins) <= set(firsts)))
            for larger, most, of, firsts in needed
        )
        if not is_held_anyway:
            needed.append((alphabet, max_chars, openings, begins))
    return tuple(
        _Hold(
            alphabet,
            max_chars,
            _begun(openings, begins if set(begins) < set(alphabet) else ""),
            is_lowered=bool(openings),
        )
        for alphabet, max_chars, openings, begins in needed
    )


def _ending_in(char: str, holds: Sequence[_Hold]) -> tuple[_Hold, ...]:
    """Those that may hold back anything of a text that ends so."""
    return tuple(one for one in holds if not one.alphabet or char in one.alphabet)


def _begun(openings: Sequence[str], begins: str) -> Search | None:
    """Finds an opening in lower case, or at the end of a text the beginning of one; without openings one of the
    characters that a match begins with; None: any character will do."""
    if not openings:
        return re.compile(f"[{re.escape(begins)}]").search if begins else None
    lowered = [opening.lower() for opening in openings]
    partial = {opening[:num] for opening in lowered for num in range(1, len(opening))}
    # Every alternative begins with a character, and no case is ignored: so the search skips to where one can begin.
    return re.compile(
        "|".join([*map(re.escape, lowered), *(rf"{re.escape(one)}\Z" for one in sorted(partial))])
    ).search


class Scrubber:
    """One text that comes in pieces.

    Args:
        report: told of each finding.
    """

    def __init__(self, scanner: Scanner, report: Report) -> None:
        self.is_blocked = False
        self._scanner = scanner
        self._report = report
        self._text = ""  # what is held back, and before it what patterns may look back at
        self._at = 0  # in it, where what is held back begins
        self._tail: frozenset[str] = frozenset()  # characters that still belong to the last match

    def feed(self, text: str) -> str:
        """What may go on by now. Nothing any more once something was found that blocks."""
        if self.is_blocked or not text:
            return ""
        text = self._text = self._text + text
        plain = self._scanner.plain
        if plain is not None and not self._tail and (limit := plain.held_from(text)) >= 0:
            return self._pass_on(limit)
        return self._advance(self._scanner.held_from(text))

    def close(self) -> str:
        """The rest; nothing comes after it."""
        return "" if self.is_blocked else self._advance(len(self._text))

    def unsent(self) -> str:
        """What it was given and has not given back."""
        return self._text[self._at :]

    def _advance(self, limit: int) -> str:
        text, at = self._text, self._at
        out: list[str] = []
        if not self._tail and not self._scanner.may_find(text):
            return self._pass_on(limit)
        while True:
            at = self._skip_tail(text, at)
            if self._tail:
                break
            found = self._scanner.find(text, at, limit)
            if found is None:
                out.append(text[at:limit])
                at = max(at, limit)
                break
            start, end, number = found
            out.append(text[at:start])
            pattern, action = self._scanner.patterns[number]
            self._report(Finding(pattern.kind, pattern.category, action))
            if action is Action.BLOCK:
                self.is_blocked = True
                break
            if action is Action.REDACT:
                out.append(f"[{pattern.kind.upper()}]")
                at, self._tail = end, pattern.tail
            else:
                # A milder pattern must not hide another one that begins inside its match.
                out.append(text[start])
                at = start + 1
        self._keep_from(at)
        return "".join(out)

    def _pass_on(self, limit: int) -> str:
        """All that has come up to there, in which there is nothing."""
        text, at = self._text, self._at
        self._keep_from(max(at, limit))
        return text[at:limit]

    def _keep_from(self, at: int) -> None:
        kept_from = max(0, at - _LOOK_BACK)
        self._text, self._at = self._text[kept_from:], at - kept_from

    def _skip_tail(self, text: str, at: int) -> int:
        """Past what still belongs to the last match; the tail stays open at the end of the text."""
        if not self._tail:
            return at
        while at < len(text) and text[at] in self._tail:
            at += 1
        if at < len(text):
            self._tail = frozenset()
        return at


def scrub(scanner: Scanner, text: str, report: Report) -> tuple[str, bool]:
    """(the text as it may go on, whether it may): of one that may not, what comes before the finding."""
    scrubber = Scrubber(scanner, report)
    return scrubber.feed(text) + scrubber.close(), not scrubber.is_blocked
