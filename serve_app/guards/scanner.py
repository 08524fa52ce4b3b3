"""Finds and replaces in one pass, in whole texts and in streams alike.

A stream is held back by no more than what may still become a match: the end of the text that is made of a pattern's own
characters, and at most as long as its longest match. However a text is cut into pieces, what comes out is the same.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence

from serve_app.guards.base import Action, Finding, Pattern

# How far patterns may look back.
_LOOK_BACK = 2
_SEVERITY = {Action.BLOCK: 0, Action.REDACT: 1, Action.FLAG: 2}

Report = Callable[[Finding], None]


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
        # Many patterns have the same one.
        self._gates = tuple(dict.fromkeys(one.gate for one, _ in ordered if one.gate is not None))
        self._is_gated = all(one.gate is not None for one, _ in ordered)
        self._holds = tuple(
            (alphabet, max_chars, _begun(openings))
            for alphabet, max_chars, openings in _holds_of([one for one, _ in ordered])
        )

    def held_from(self, text: str) -> int:
        """Where the part of a text begins whose matches depend on what comes after it."""
        length = len(text)
        held = length
        for alphabet, max_chars, begun in self._holds:
            start = max(0, len(text.rstrip(alphabet)) if alphabet else 0, length - max_chars)
            if begun is not None and start < length:
                opening = begun.search(text, start)
                start = length if opening is None else opening.start()
            held = min(held, start)
        return held

    def may_find(self, text: str) -> bool:
        """False: there is no match in the text, which took little to know."""
        if not self._is_gated:
            return True
        for gate in self._gates:  # noqa: SIM110 (a generator would take as long as the gates, for each token)
            if gate(text):
                return True
        return False

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


def _holds_of(patterns: Sequence[Pattern]) -> list[tuple[str, int, tuple[str, ...]]]:
    """(alphabet, most characters, openings) of what may be held back, without those of which another one always holds
    back as much: it is asked for each token."""
    holds: dict[tuple[str, tuple[str, ...]], int] = {}
    for one in patterns:
        key = (one.alphabet, one.openings)
        holds[key] = max(holds.get(key, 0), one.max_chars)
    needed: list[tuple[str, int, tuple[str, ...]]] = []
    for (alphabet, openings), max_chars in sorted(holds.items(), key=lambda one: (-one[1], -len(one[0][0]))):
        is_held_anyway = any(
            not of and max_chars <= most and (not larger or (alphabet and set(alphabet) <= set(larger)))
            for larger, most, of in needed
        )
        if not is_held_anyway:
            needed.append((alphabet, max_chars, openings))
    return needed


def _begun(openings: Sequence[str]) -> re.Pattern[str] | None:
    """Finds an opening, or at the end of a text the beginning of one; None: there are none to look for."""
    if not openings:
        return None
    partial = {opening[:num] for opening in openings for num in range(1, len(opening))}
    whole = [re.escape(opening) for opening in openings]
    return re.compile(
        "(?ai:" + "|".join([*whole, *(rf"{re.escape(one)}\Z" for one in sorted(partial))]) + ")"
    )


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
        self._text += text
        return self._advance(self._scanner.held_from(self._text))

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
            self._keep_from(max(at, limit))
            return text[at:limit]
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
