"""What comes out: the text of a model's answer, as it comes.

Reads and writes OpenAI's shapes. A stream is not gathered: each choice's text goes through a scrubber that holds back
no more than it must. Where something blocks, the text ends before it, as OpenAI ends a filtered answer: with
`finish_reason` `content_filter`. Arguments of calls are JSON, and nobody can use half of that: they come whole, with
the end of their choice.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from serve_app.errors import EngineFailed
from serve_app.guards.base import Action
from serve_app.guards.bodies import ARGUMENTS, scrubbed_json
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
_CALLS = ("tool_calls", "function_call")
# A chunk of a chat that is a piece of one choice's text and nothing else, as engines write most of theirs: what stands
# before the text, the choice, the text, what stands behind. No text can look like its keys: quotes in it are escaped.
_PIECE = re.compile(
    rb'(data: \{[^\n]*?"choices":\[\{"index":([0-9]{1,4}),"delta":\{"content":)("(?:[^"\\\n]|\\.)+")'
    rb'(\}(?:,"logprobs":null)?,"finish_reason":null\}\](?:,[^\n]*)?\}\n\n)'
)

_text = msgspec.json.Decoder(str).decode  # a JSON string; each token has one


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


class ArgumentsGuard:
    """The arguments of one call on their way out."""

    def __init__(self, scanner: Scanner, findings: Findings) -> None:
        self._scanner = scanner
        self._findings = findings
        self._pieces: list[str] = []

    def take(self, function: JsonObject) -> None:
        """Keep a piece; where something may have to be hidden it leaves with the others."""
        if isinstance(function.get(ARGUMENTS), str):
            self._pieces.append(function[ARGUMENTS])
            if self._scanner.hides:
                function[ARGUMENTS] = ""

    def whole(self) -> tuple[str, bool]:
        """(the arguments as they may go out, whether they may)."""
        is_blocked = False

        def scrub(text: str) -> str:
            nonlocal is_blocked
            guard = TextGuard(self._scanner, self._findings)
            out = guard.feed(text) + guard.close()
            is_blocked |= guard.is_blocked
            return out

        return scrubbed_json("".join(self._pieces), scrub), not is_blocked


class OutgoingStream:
    """The events of one answer."""

    def __init__(self, rules: Rules, findings: Findings) -> None:
        assert rules.scanner is not None
        self._scanner = rules.scanner
        self._findings = findings
        self._texts: dict[tuple[int, str], TextGuard] = {}  # (choice, field) -> its text
        # (choice, call) -> its arguments; a call without a number is the only one, of an older kind
        self._calls: dict[tuple[int, int | None], ArgumentsGuard] = {}
        self._reader = SseReader()
        # Around the text of the last piece, and whose text it was: those of one answer differ in their text alone.
        self._before, self._after, self._of = b"", b"", 0
        self.is_over = False

    def take(self, frame: bytes) -> bytes:
        """What the client may have of a frame; empty: nothing yet.

        Raises:
            EngineFailed: it is not OpenAI's.
        """
        try:
            if text := self._text_of(frame):
                return self._piece(frame, text)
            out: list[bytes] = []
            if not self._reader.is_within_an_event:
                while frame.startswith(b":") and (end := frame.find(b"\n\n")) >= 0:
                    out.append(frame[: end + 2])  # a comment
                    frame = frame[end + 2 :]
                frame = self._pieces(frame, out)
        except (ValueError, msgspec.DecodeError) as exc:  # the text is no JSON, or no text
            raise _not_openais() from exc
        for data in self._reader.feed(frame) if frame else ():
            if self.is_over:
                break
            if data == _DONE:
                out.append(DONE)
                self.is_over = True
            else:
                out += self._event(data)
        return b"".join(out)

    def _text_of(self, frame: bytes) -> bytes:
        """The text of a frame that is one piece, and differs from the last one in its text alone; else nothing."""
        before, after = self._before, self._after
        if not before or not (frame.startswith(before) and frame.endswith(after)):
            return b""
        text = frame[len(before) : -len(after)]
        # Two quotes, the first and the last: a string without quotes in it, and not an empty one.
        is_string = text.startswith(b'"') and text.endswith(b'"', 2) and text.count(b'"') == 2
        return text if is_string and not self._reader.is_within_an_event else b""

    def _pieces(self, frame: bytes, out: list[bytes]) -> bytes:
        """Take the pieces of text at the beginning of a frame, without reading and writing what is around the text;
        what is left of it."""
        at = 0
        while at < len(frame) and (end := self._end_of_piece(frame, at)) > at:
            out.append(self._piece(frame[at:end], frame[at + len(self._before) : end - len(self._after)]))
            if self.is_over:
                return b""
            at = end
        return frame[at:]

    def _piece(self, piece: bytes, string: bytes) -> bytes:
        """What may go on of a piece by now; its text is that JSON string."""
        text, guard = _text(string), self._guard_of(self._of, "content")
        rest = guard.feed(text)
        if guard.is_blocked:
            document = json.loads(piece.removeprefix(b"data: "))
            return b"".join(self._ended(document, document["choices"][0], {"content": rest}))
        if rest == text:
            return piece
        return self._before + encode(rest) + self._after if rest else b""

    def _end_of_piece(self, frame: bytes, at: int) -> int:
        """Where the piece ends that begins there, with what stands around its text kept; `at`: none begins there."""
        begin = at + len(self._before)
        if self._before and frame.startswith(self._before, at):
            end = frame.find(self._after, begin)
            # Two quotes, the first and the last: a string without quotes in it, and not an empty one.
            is_string = frame.startswith(b'"', begin) and frame.endswith(b'"', begin + 2, max(end, 0))
            if is_string and frame.count(b'"', begin, end) == 2:
                return end + len(self._after)
        piece = _PIECE.match(frame, at)
        if piece is None:
            return at
        self._before, index, _, self._after = piece.groups()
        self._of = int(index)
        return piece.end()

    def _guard_of(self, choice: int, name: str) -> TextGuard:
        guard = self._texts.get((choice, name))
        if guard is None:
            guard = self._texts[choice, name] = TextGuard(self._scanner, self._findings)
        return guard

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
            raise _not_openais() from exc
        return events if choices else [event(document)]

    def _choice(self, document: JsonObject, choice: JsonObject) -> list[bytes]:
        """The events that one choice's chunk becomes."""
        part: JsonObject = choice["delta"] if isinstance(choice.get("delta"), dict) else choice
        index, has_text, is_blocked = int(choice.get("index") or 0), False, False
        for name in _FIELDS:
            if isinstance(part.get(name), str) and part[name]:
                has_text = True
                guard = self._guard_of(index, name)
                part[name] = guard.feed(part[name])
                is_blocked |= guard.is_blocked
        for call, function in _functions(part):
            found = self._calls.get((index, call))
            if found is None:
                found = self._calls[index, call] = ArgumentsGuard(self._scanner, self._findings)
            found.take(function)
        _leave_out_empty_calls(part)
        if self._scanner.hides and choice.get("logprobs") is not None:
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
        for (of, call), arguments in self._calls.items():
            if of != index:
                continue
            whole, may_go = arguments.whole()
            if not may_go:
                return [*events, *self._ended(document, choice, {})]
            if whole and self._scanner.hides:
                events.append(self._with(document, choice, _call(call, whole), None))
        return [*events, event(document | {"choices": [choice]})]

    def _ended(self, document: JsonObject, choice: JsonObject, part: JsonObject) -> list[bytes]:
        """The last of the text that may be sent, and an end that says why."""
        self.is_over = True
        texts = {name: part[name] for name in _FIELDS if part.get(name)}
        empty = {name: "" for name in _FIELDS[3:4] if name in part}
        begun = [self._with(document, choice, texts, None)] if texts else []
        return [*begun, self._with(document, choice, empty, "content_filter"), DONE]

    def _with(
        self, document: JsonObject, choice: JsonObject, texts: Mapping[str, Any], finish_reason: str | None
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
    is_same = True
    try:
        document = json.loads(frame)
        for choice in document.get("choices") or ():
            part = choice["message"] if isinstance(choice.get("message"), dict) else choice
            for name in _FIELDS:
                if not isinstance(part.get(name), str):
                    continue
                guard = TextGuard(rules.scanner, findings)
                text = guard.feed(part[name]) + guard.close()
                if text != part[name]:
                    part[name], is_same = text, False
                if guard.is_blocked:
                    choice["finish_reason"], is_same = "content_filter", False
            if any(part.get(name) for name in _CALLS):
                is_same = False
                if not _guard_calls(part, rules.scanner, findings):
                    choice["finish_reason"] = "content_filter"
            if rules.scanner.hides and choice.get("logprobs") is not None:
                choice["logprobs"], is_same = None, False
    except (ValueError, AttributeError, TypeError, KeyError) as exc:
        raise EngineFailed("the model's answer is no document of OpenAI's API") from exc
    return frame if is_same else encode(document)


def _not_openais() -> EngineFailed:
    return EngineFailed("the model's stream has an event that is no chunk of OpenAI's API")


def _guard_calls(message: JsonObject, scanner: Scanner, findings: Findings) -> bool:
    """Whether the calls of a whole message may go out; if one may not, none is left."""
    may_all_go = True
    for _, function in _functions(message):
        guard = ArgumentsGuard(scanner, findings)
        guard.take(function)
        function[ARGUMENTS], may_go = guard.whole()
        may_all_go &= may_go
    if not may_all_go:
        for name in _CALLS:
            message.pop(name, None)
    return may_all_go


def _functions(part: JsonObject) -> Iterator[tuple[int | None, JsonObject]]:
    """(number of the call, its name and arguments) of a message or a delta."""
    for at, call in enumerate(part.get("tool_calls") or ()):
        if isinstance(call.get("function"), dict):
            yield int(call.get("index") or at), call["function"]
    if isinstance(part.get("function_call"), dict):
        yield None, part["function_call"]


def _leave_out_empty_calls(delta: JsonObject) -> None:
    """Pieces whose arguments are kept, and that say nothing else."""
    if isinstance(calls := delta.get("tool_calls"), list):
        said = [one for one in calls if one.get("id") or any((one.get("function") or {"": one}).values())]
        delta["tool_calls"] = said or None


def _call(number: int | None, arguments: str) -> JsonObject:
    """The piece of a delta that holds a call's arguments."""
    function = {ARGUMENTS: arguments}
    return (
        {"function_call": function}
        if number is None
        else {"tool_calls": [{"index": number, "function": function}]}
    )
