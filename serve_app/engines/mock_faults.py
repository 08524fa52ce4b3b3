"""Faults that a mock model commits when its prompt asks for them, where its configuration allows that.

`fault:NAME` or `fault:NAME=NUMBER` anywhere in the text of a prompt is an order. Tests and the conformance
suite send it through the whole application, agent included, without any field of their own.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import NoReturn

from serve_app.engines.base import GenerationRequest
from serve_app.errors import BadRequest, EngineFailed
from serve_app.health.progress import Progress


class FaultKind(StrEnum):
    """What to do, and what the number means."""

    HANG_LOOP = "hang_loop"  # block the event loop for so many seconds
    HANG_ENGINE = "hang_engine"  # make no step any more; the number means nothing
    GARBAGE = "garbage"  # fail as an engine does whose numbers are no numbers; likewise
    FAIL = "fail"  # fail after so many tokens
    DIE = "die"  # end the process after so many tokens


@dataclass(frozen=True, slots=True)
class Fault:
    """One order."""

    kind: FaultKind
    number: float


_ORDER = re.compile(r"\bfault:(\w+)(?:=(\d+(?:\.\d+)?))?")


def ordered_fault(request: GenerationRequest) -> Fault | None:
    """The fault that the request's text orders: the last one, so that a conversation may go on.

    Raises:
        BadRequest: there is no such fault.
    """
    if request.messages is not None:
        text = "\n".join(message.text() for message in request.messages)
    else:
        text = request.prompt if isinstance(request.prompt, str) else ""
    orders = _ORDER.findall(text)
    if not orders:
        return None
    name, number = orders[-1]
    if name not in list(FaultKind):
        raise BadRequest(f"there is no fault {name!r}; there are: {', '.join(FaultKind)}", "messages")
    return Fault(FaultKind(name), float(number or 0.0))


class Hang:
    """An engine that makes nothing any more, until somebody looks and finds that it hangs."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._is_found = asyncio.Event()
        self.is_on = False

    def begin(self) -> None:
        self.is_on = True
        self._progress.begin()

    async def wait(self) -> NoReturn:
        """Raises EngineFailed once it is found, and waits for that as long as it takes."""
        await self._is_found.wait()
        self._progress.check()
        raise AssertionError("the clock went back")

    def check(self) -> None:
        """Raises EngineFailed when it has lasted too long."""
        try:
            self._progress.check()
        except EngineFailed:
            self._is_found.set()
            raise


class FaultyCourse:
    """What one request's fault does on its way: `begin` before the first token, `made` after each."""

    def __init__(self, fault: Fault, hang: Hang) -> None:
        self._fault = fault
        self._hang = hang

    def begin(self) -> None:
        match self._fault.kind:
            case FaultKind.HANG_LOOP:
                time.sleep(self._fault.number)  # the loop's own thread, on purpose
            case FaultKind.HANG_ENGINE:
                self._hang.begin()
            case FaultKind.GARBAGE:
                raise EngineFailed("the model gave logits whose sum is nan (by order)")
        self.made(0)

    def made(self, num_tokens: int) -> None:
        if num_tokens != int(self._fault.number):
            return
        if self._fault.kind is FaultKind.FAIL:
            raise EngineFailed(f"the engine failed after {num_tokens} tokens (by order)")
        if self._fault.kind is FaultKind.DIE:
            os._exit(1)
