"""What goes in: the texts of a request's body, looked at and replaced."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from serve_app.errors import ContentRefused, Unavailable
from serve_app.grounding.suspicion import suspicion
from serve_app.grounding.untrusted import clean
from serve_app.guards.base import Action, Category, Finding
from serve_app.guards.findings import Findings
from serve_app.guards.policy import Rules
from serve_app.guards.scanner import Scrubber
from serve_app.messages import JsonObject

logger = logging.getLogger("manta.guards")

# Characters that are looked at before others have their turn on the event loop.
_PIECE_CHARS = 16_384
# An injection is looked for in pieces of so many characters, which overlap by so many.
_WINDOW_CHARS, _OVERLAP_CHARS = 4000, 500
INJECTION = "injection"

Replace = Callable[[str, str | None], Awaitable[str]]


async def guarded(body: JsonObject, rules: Rules, injection_at: float, findings: Findings) -> JsonObject:
    """The body as it may go on: the same one where nothing was replaced.

    Raises:
        ContentRefused: something was found that blocks.
        Unavailable: a guard broke, and something of its policy blocks.
    """
    try:
        found = await _replaced(body, lambda text, role: _look_at(text, role, rules, injection_at, findings))
    except ContentRefused:
        raise
    # Whatever a guard does wrong, its policy says what becomes of the request; nothing about the text is logged.
    except Exception as exc:  # noqa: BLE001
        findings.failed(Action.BLOCK if rules.blocks else Action.FLAG)
        logger.error("a guard failed: %s", exc.__class__.__name__)  # noqa: TRY400 (a traceback would show the text)
        if rules.blocks:
            raise Unavailable("a guard of this request failed, and its policy is to block") from None
        return body
    return found


async def _look_at(text: str, role: str | None, rules: Rules, injection_at: float, findings: Findings) -> str:
    if rules.injection is not None and role not in ("system", "developer", "assistant"):
        await _look_for_injection(text, rules.injection, injection_at, findings)
    if rules.scanner is None:
        return text
    scrubber, out = Scrubber(rules.scanner, findings.add), []
    for start in range(0, len(text), _PIECE_CHARS):
        if start:
            await asyncio.sleep(0)
        out.append(scrubber.feed(text[start : start + _PIECE_CHARS]))
        if scrubber.is_blocked:
            raise _refused(findings)
    out.append(scrubber.close())
    if scrubber.is_blocked:
        raise _refused(findings)
    return "".join(out)


async def _look_for_injection(text: str, action: Action, at: float, findings: Findings) -> None:
    for start in range(0, max(1, len(text) - _OVERLAP_CHARS), _WINDOW_CHARS - _OVERLAP_CHARS):
        if start:
            await asyncio.sleep(0)
        if suspicion(clean(text[start : start + _WINDOW_CHARS], _WINDOW_CHARS)).score >= at:
            findings.add(Finding(INJECTION, Category.INJECTION, action))
            if action is Action.BLOCK:
                raise _refused(findings)
            return


def _refused(findings: Findings) -> ContentRefused:
    kinds = ", ".join(findings.blocked_by())
    return ContentRefused(f"the request holds what may not be sent to a model here: {kinds}")


async def _replaced(body: JsonObject, replace: Replace) -> JsonObject:
    """The body with its texts replaced: messages, prompts, an agent's question."""
    changed: JsonObject = {}
    for name in ("prompt", "question", "suffix"):
        value = body.get(name)
        if isinstance(value, str):
            changed[name] = await replace(value, None)
        elif isinstance(value, list):
            changed[name] = [await replace(one, None) if isinstance(one, str) else one for one in value]
    messages = body.get("messages")
    if isinstance(messages, list):
        changed["messages"] = [await _message(message, replace) for message in messages]
    if all(body[name] == value for name, value in changed.items()):
        return body
    return body | changed


async def _message(message: Any, replace: Replace) -> Any:
    if not isinstance(message, dict):
        return message
    role, content = message.get("role"), message.get("content")
    if isinstance(content, str):
        return {**message, "content": await replace(content, role)}
    if isinstance(content, list):
        return {**message, "content": [await _part(part, role, replace) for part in content]}
    return message


async def _part(part: Any, role: str | None, replace: Replace) -> Any:
    if isinstance(part, dict) and isinstance(part.get("text"), str):
        return {**part, "text": await replace(part["text"], role)}
    return part
