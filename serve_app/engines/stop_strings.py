"""Stop strings in a stream: text that may be the start of one is held back until that is clear."""

from __future__ import annotations


class StopStrings:
    """Feed pieces of text; get back what may be sent.

    The earliest stop string in the whole text wins, also when it spans several pieces; the stop
    string itself is never sent.
    """

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._stops = stops
        self._held = ""

    def feed(self, piece: str) -> tuple[str, bool]:
        """(text that may be sent now, whether a stop string was reached)."""
        if not self._stops:
            return piece, False
        text = self._held + piece
        ends = [at for at in (text.find(stop) for stop in self._stops) if at >= 0]
        if ends:
            self._held = ""
            return text[: min(ends)], True
        keep = max(overlap(text, stop) for stop in self._stops)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep], False

    def rest(self) -> str:
        """What is still held back when generation ends for another reason."""
        rest, self._held = self._held, ""
        return rest


def overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that is a beginning of `stop`, and not all of it."""
    for size in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:size]):
            return size
    return 0
