"""One request and its answer, as the scripts that answer it and the loop that runs them share it.

A script is a generator. It hands bytes to `call.send` and yields when it cannot go on: a time on the clock
(ns, the loop resumes it then), or one of the reasons below. It ends by returning; the loop closes it when
the client leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from enum import Enum

from benchmarks.reference_server.asked import Asked
from benchmarks.reference_server.delays import Delays
from benchmarks.reference_server.lateness import Lateness
from benchmarks.reference_server.served import Ending, ServedRequest
from benchmarks.reference_server.settings import Settings

# What a script yields besides a time.
WRITABLE = -1  # resume when the socket takes bytes again
ADMITTED = -2  # resume when it is this request's turn
NEVER = -3  # there is nothing to resume for
ENDED = 0  # what `next` gives for a script that has returned

Script = Generator[int, None, None]


class Then(Enum):
    """What becomes of the connection after the answer."""

    KEEP = "keep"
    CLOSE = "close"
    RESET = "reset"


@dataclass(frozen=True, slots=True)
class Pace:
    """What all answers of a process share."""

    settings: Settings
    delays: Delays
    lateness: Lateness
    clock: Callable[[], int]  # ns


class Call:
    """One request and how far its answer is."""

    __slots__ = (
        "asked",
        "complete_ns",
        "due_ns",
        "ending",
        "fileno",
        "first_byte_ns",
        "first_due_ns",
        "first_token_ns",
        "holds_place",
        "last_token_ns",
        "num_tokens",
        "number",
        "path",
        "request_id",
        "script",
        "send",
        "start_ns",
        "status",
        "then",
    )

    def __init__(
        self, number: int, fileno: int, send: Callable[[bytes], int], first_byte_ns: int, complete_ns: int
    ) -> None:
        self.number = number
        self.fileno = fileno  # of its connection
        self.send = send
        self.path = ""
        self.request_id: str | None = None
        self.asked: Asked | None = None
        self.script: Script | None = None  # None: not begun, or over
        self.first_byte_ns = first_byte_ns
        self.complete_ns = complete_ns
        self.start_ns: int | None = None
        self.first_due_ns: int | None = None
        self.due_ns = 0  # of the next token
        self.first_token_ns: int | None = None
        self.last_token_ns: int | None = None
        self.num_tokens = 0
        self.status: int | None = None
        self.ending: Ending | None = None
        self.then = Then.KEEP
        self.holds_place = False  # it counts towards max_concurrent

    def count(self, num_tokens: int, first_ns: int, last_ns: int) -> None:
        """Note tokens that were handed to the socket."""
        if num_tokens:
            if self.first_token_ns is None:
                self.first_token_ns = first_ns
            self.last_token_ns = last_ns
            self.num_tokens += num_tokens

    def served(self, process: int, end_ns: int) -> ServedRequest:
        asked = self.asked
        assert self.ending is not None
        return ServedRequest(
            number=self.number,
            process=process,
            path=self.path,
            first_byte_ns=self.first_byte_ns,
            complete_ns=self.complete_ns,
            end_ns=end_ns,
            ending=self.ending,
            request_id=self.request_id,
            model=asked.model if asked else None,
            is_stream=asked.is_stream if asked else False,
            status=self.status,
            start_ns=self.start_ns,
            first_due_ns=self.first_due_ns,
            first_token_ns=self.first_token_ns,
            last_token_ns=self.last_token_ns,
            num_tokens=self.num_tokens,
            num_prompt_tokens=asked.num_prompt_tokens if asked else None,
        )
