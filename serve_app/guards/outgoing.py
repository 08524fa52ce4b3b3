"""What comes out: the text of a model's answer, as it comes.

Reads and writes OpenAI's shapes. A stream is not gathered: each choice's text goes through a scrubber that holds back
no more than it must. Where something blocks, the text ends before it, as OpenAI ends a filtered answer: with
`finish_reason` `content_filter`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator
from typing import Any

from serve_app.errors import EngineFailed
from serve_app.guards.base import Action
from serve_app.guards.findings import Findings
from serve_app.guards.policy import Rules
from serve_app.guards.scanner import Scanner, Scrubber
from serve_app.messages import JsonObject
from serve_app.openai_api.responses import DONE, encode, event
from serve_app.openai_api.sse import SseReader

logger = logging.getLogger("manta.guards")

_DONE = "[DONE]"
# Where the text of a choice stands: in a chat's delta or message, and in a plain completion's choice.
_FIELDS = ("content", "reasoning_content", "reasoning", "text", "refusal")


class TextGuard:
    """One text on its way out. A guard that breaks blocks where the policy blocks anything, and else lets pass."""

    def __init__(self, scanner: Scanner, findings: Findings) -> None:
        self._scrubber: Scrubber | None = Scrubber(scanner, findings.add)
        self._blocks = scanner.blocks
        self._findings = findings
        self.is_blocked = False

    def feed(self, text: str) -> str:
        return self._through(text, is_end=False)

    def close(self) -> str:
        return self._through("", is_end=True)

    def _through(self, text: str, *, is_end: bool) -> str:
        scrubber = self._scrubber
        if self.is_blocked:
            return ""
        if scrubber is None:
            return text
        try:
            out = scrubber.feed(text) + (scrubber.close() if is_end else "")
        # Whatever a guard does wrong, its policy says what becomes of the text; nothing about it is logged.
        except Exception as exc:  # noqa: BLE001
            logger.error("a guard failed: %s", exc.__class__.__name__)  # noqa: TRY400
            self._findings.failed(Action.BLOCK if self._blocks else Action.FLAG)
            self._scrubber, self.is_blocked = None, self._blocks
            return "" if self._blocks else scrubber.unsent()
        self.is_blocked = scrubber.is_blocked
        return out


class OutgoingStream:
    """The events of one answer."""

    def __init__(self, rules: Rules, findings: Findings) -> None:
        assert rules.scanner is not None
        self._scanner = rules.scanner
        self._findings = findings
        self._hides = any(action is not Action.FLAG for _, action in rules.scanner.patterns)
        self._texts: dict[tuple[int, str], TextGuard] = {}  # (choice, field) -> its text
        self._reader = SseReader()
        self.is_over = False

    def take(self, frame: bytes) -> bytes:
        """What the client may have of a frame; empty: nothing yet.

        Raises:
            EngineFailed: it is not OpenAI's.
        """
        if frame.startswith(b":"):
            return frame  # a comment
        out: list[bytes] = []
        for data in self._reader.feed(frame):
            if self.is_over:
                break
            if data == _DONE:
                out.append(DONE)
                self.is_over = True
            else:
                out += self._event(data)
        return b"".join(out)

    def _event(self, data: str) -> list[bytes]:
        try:
            document = json.loads(data)
            choices = document.get("choices") or []
            events: list[bytes] = []
            for choice in choices:
                events += self._choice(document, choice)
                if self.is_over:
                    return events
        except (ValueError, AttributeError, TypeError, KeyError) as exc:
            raise EngineFailed("the model's stream has an event that is no chunk of OpenAI's API") from exc
        return events if choices else [event(document)]

    def _choice(self, document: JsonObject, choice: JsonObject) -> list[bytes]:
        """The events that one choice's chunk becomes."""
        part: JsonObject = choice["delta"] if isinstance(choice.get("delta"), dict) else choice
        index, has_text, is_blocked = int(choice.get("index") or 0), False, False
        for name in _FIELDS:
            if isinstance(part.get(name), str) and part[name]:
                has_text = True
                guard = self._texts.get((index, name))
                if guard is None:
                    guard = self._texts[index, name] = TextGuard(self._scanner, self._findings)
                part[name] = guard.feed(part[name])
                is_blocked |= guard.is_blocked
        if self._hides and choice.get("logprobs") is not None:
            choice["logprobs"] = None  # they spell the text
        if is_blocked:
            return [*self._ended(document, choice, part)]
        if choice.get("finish_reason") is None:
            is_empty = has_text and not any(part.get(name) for name in _FIELDS)
            # What else a delta may carry: a role, calls. An envelope alone says nothing.
            others = {name for name, value in part.items() if name not in _FIELDS and value is not None}
            others -= {"index", "finish_reason", "logprobs"}
            return [] if is_empty and not others else [event(document | {"choices": [choice]})]
        return self._finished(document, choice, part, index)

    def _finished(
        self, document: JsonObject, choice: JsonObject, part: JsonObject, index: int
    ) -> list[bytes]:
        """What was held back, and then the end."""
        events: list[bytes] = []
        for (of, name), guard in self._texts.items():
            if of != index:
                continue
            rest = (part.get(name) or "") + guard.close()
            if name in part:
                part[name] = ""
            if guard.is_blocked:
                part[name] = rest
                return [*events, *self._ended(document, choice, part)]
            if rest:
                events.append(self._with(document, choice, {name: rest}, None))
        return [*events, event(document | {"choices": [choice]})]

    def _ended(self, document: JsonObject, choice: JsonObject, part: JsonObject) -> list[bytes]:
        """The last of the text that may be sent, and an end that says why."""
        self.is_over = True
        texts = {name: part[name] for name in _FIELDS if part.get(name)}
        empty = {name: "" for name in _FIELDS[3:4] if name in part}
        begun = [self._with(document, choice, texts, None)] if texts else []
        return [*begun, self._with(document, choice, empty, "content_filter"), DONE]

    def _with(
        self, document: JsonObject, choice: JsonObject, texts: dict[str, Any], finish_reason: str | None
    ) -> bytes:
        index = choice.get("index") or 0
        inner = {"delta": texts} if "delta" in choice else texts
        one = {"index": index, **inner, "logprobs": None, "finish_reason": finish_reason}
        plain = {name: value for name, value in document.items() if name not in ("usage", "manta")}
        return event(plain | {"choices": [one]})


def guarded_document(frame: bytes, rules: Rules, findings: Findings) -> bytes:
    """A whole answer.

    Raises:
        EngineFailed: it is not OpenAI's.
    """
    assert rules.scanner is not None
    hides = any(action is not Action.FLAG for _, action in rules.scanner.patterns)
    try:
        document = json.loads(frame)
        for choice in document.get("choices") or ():
            part = choice["message"] if isinstance(choice.get("message"), dict) else choice
            for name in _FIELDS:
                if not isinstance(part.get(name), str):
                    continue
                guard = TextGuard(rules.scanner, findings)
                part[name] = guard.feed(part[name]) + guard.close()
                if guard.is_blocked:
                    choice["finish_reason"] = "content_filter"
            if hides and choice.get("logprobs") is not None:
                choice["logprobs"] = None
    except (ValueError, AttributeError, TypeError, KeyError) as exc:
        raise EngineFailed("the model's answer is no document of OpenAI's API") from exc
    return encode(document)


async def guarded_stream(
    frames: AsyncGenerator[bytes], rules: Rules, findings: Findings
) -> AsyncGenerator[bytes]:
    """The events that the client may have; it ends with `[DONE]` also where something blocks."""
    stream = OutgoingStream(rules, findings)
    async for frame in frames:
        if out := stream.take(frame):
            yield out
        if stream.is_over:
            return
