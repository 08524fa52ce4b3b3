"""What goes in: the texts of a request's body, looked at and replaced."""

from __future__ import annotations

import asyncio
import logging

from serve_app.errors import BadRequest, ContentRefused, Unavailable
from serve_app.grounding.suspicion import suspicion
from serve_app.grounding.untrusted import clean
from serve_app.guards.base import Action, Category, Finding
from serve_app.guards.bodies import Path, Text, has_tokens, texts_of, with_texts
from serve_app.guards.findings import Findings
from serve_app.guards.policy import Rules
from serve_app.guards.scanner import Scrubber
from serve_app.messages import JsonObject

logger = logging.getLogger("manta.guards")

# Characters that are looked at before others have their turn on the event loop.
_PIECE_CHARS = 16_384
_TEXTS_AT_ONCE = 200
# An injection is looked for in pieces of so many characters, which overlap by so many.
_WINDOW_CHARS, _OVERLAP_CHARS = 4000, 500
INJECTION = "injection"


async def guarded(body: JsonObject, rules: Rules, injection_at: float, findings: Findings) -> JsonObject:
    """The body as it may go on: the same one where nothing was replaced.

    Raises:
        ContentRefused: something was found that blocks.
        BadRequest: it holds tokens, which nobody could look at.
        Unavailable: a guard broke, and something of its policy blocks.
    """
    if rules.hides and has_tokens(body):
        raise BadRequest(
            "tokens cannot be looked at by the guards that are configured here: send text", "prompt"
        )
    try:
        changed = await _changed(body, rules, injection_at, findings)
    except ContentRefused:
        raise
    # Whatever a guard does wrong, its policy says what becomes of the request; nothing about the text is logged.
    except Exception as exc:  # noqa: BLE001
        findings.failed(Action.BLOCK if rules.blocks else Action.FLAG)
        logger.error("a guard failed: %s", exc.__class__.__name__)  # noqa: TRY400 (a traceback would show the text)
        if rules.blocks:
            raise Unavailable("a guard of this request failed, and its policy is to block") from None
        return body
    return with_texts(body, changed) if changed else body


async def _changed(
    body: JsonObject, rules: Rules, injection_at: float, findings: Findings
) -> dict[Path, str]:
    """The texts that are to be others, by where they stand."""
    changed: dict[Path, str] = {}
    for number, one in enumerate(texts_of(body), 1):
        if number % _TEXTS_AT_ONCE == 0:
            await asyncio.sleep(0)
        text = await _look_at(one, rules, injection_at, findings)
        if text != one.text:
            changed[one.path] = text
    return changed


async def _look_at(one: Text, rules: Rules, injection_at: float, findings: Findings) -> str:
    if rules.injection is not None and one.role not in ("system", "developer", "assistant"):
        await _look_for_injection(one.text, rules.injection, injection_at, findings)
    if rules.scanner is None:
        return one.text
    scrubber, text, out = Scrubber(rules.scanner, findings.add), one.label + one.text, []
    for start in range(0, len(text), _PIECE_CHARS):
        if start:
            await asyncio.sleep(0)
        out.append(scrubber.feed(text[start : start + _PIECE_CHARS]))
        if scrubber.is_blocked:
            raise _refused(findings)
    out.append(scrubber.close())
    if scrubber.is_blocked:
        raise _refused(findings)
    return "".join(out).removeprefix(one.label)


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
