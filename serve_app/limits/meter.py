"""What an answer took, read from its bytes as they pass by.

A stream is looked at once a frame for one short word, and counted; the usage itself is only read at the end, from
the last frame that had one. JSON escapes quotes inside texts, so `"usage"` followed by an object is a key.
"""

from __future__ import annotations

import re

_USAGE = re.compile(rb'"usage"\s*:\s*\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)')
# The second names are those of OpenAI's responses and of Anthropic's messages.
_PROMPT = re.compile(rb'"(?:prompt|input)_tokens"\s*:\s*(\d{1,12})')
_ANSWER = re.compile(rb'"(?:completion|output)_tokens"\s*:\s*(\d{1,12})')
_KEY = b'"usage"'
_EVENT = b"data:"
_DONE = b"[DONE]"
# The events of a chat that are no text: its opening; in a whole one its end and [DONE], too.
_NUM_AT_START = 1
_NUM_AT_END = 2


class Meter:
    """The bytes of one answer."""

    __slots__ = ("_has_usage", "_last", "_num_events", "_num_others")

    def __init__(self) -> None:
        self._last = b""
        self._num_events = 0
        self._num_others = _NUM_AT_START
        self._has_usage = False

    def see(self, frame: bytes) -> None:
        """A piece of the answer: one or several whole events, or a whole document."""
        self._num_events += frame.count(_EVENT)
        if frame.rstrip().endswith(_DONE):
            self._num_others = _NUM_AT_START + _NUM_AT_END
        at = frame.rfind(_KEY)
        while at >= 0:
            if found := _USAGE.match(frame, at):
                self._last = found[1]
                self._has_usage = True
                return
            at = frame.rfind(_KEY, 0, at)  # that was a value, or null

    def read(self, prompt_estimate: int) -> tuple[int, int]:
        """Tokens of prompt and answer, by the answer's own account; where it broke off or gives none, the
        estimate of the prompt and a token for each event that passed."""
        if not self._has_usage:
            return (prompt_estimate if self._num_events else 0), max(0, self._num_events - self._num_others)
        prompt, answer = _PROMPT.search(self._last), _ANSWER.search(self._last)
        return (int(prompt[1]) if prompt else prompt_estimate), (int(answer[1]) if answer else 0)
