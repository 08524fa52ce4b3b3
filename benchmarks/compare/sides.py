"""The two sides of a comparison as servers: what is asked of both is the same to the last byte but the model."""

from __future__ import annotations

import dataclasses
import shlex
import subprocess
import tempfile
from dataclasses import dataclass
from typing import IO, Literal

from benchmarks.errors import BenchmarkError
from benchmarks.run.execute import Prepared

COMMAND_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class Before:
    """A command that makes a side ready before each of its runs: starts it, or switches what the server does.

    No shell runs it. It has to end by itself, when the side is ready; a server that it starts has to go to the
    background.
    """

    words: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Before:
        """From the words of a command line.

        Raises:
            BenchmarkError: quotes are not closed, or there are no words.
        """
        try:
            words = tuple(shlex.split(text))
        except ValueError as exc:
            raise BenchmarkError(f"{text!r} is no command: {exc}") from exc
        if not words:
            raise BenchmarkError("a command has at least one word")
        return cls(words)

    def run(self) -> None:
        """Run it.

        Raises:
            BenchmarkError: it is not there, fails, or does not end in time.
        """
        name = self.words[0]
        # Files, because a server in the background would keep a pipe open for good.
        with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
            try:
                status = subprocess.run(  # noqa: S603 (the caller's own command)
                    self.words,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=errors,
                    check=False,
                    timeout=COMMAND_TIMEOUT_S,
                ).returncode
            except OSError as exc:
                raise BenchmarkError(f"{name}: {exc.strerror}") from exc
            except subprocess.TimeoutExpired as exc:
                raise BenchmarkError(f"{name} did not end within {COMMAND_TIMEOUT_S:g} s") from exc
            last = _last_line(errors) or _last_line(output)
        if status:
            raise BenchmarkError(f"{name} ended with {status}: {last or 'it said nothing'}")


def _last_line(said: IO[str]) -> str:
    said.seek(0)
    return said.read().strip().rpartition("\n")[2]


def asked_alike(a: Prepared, b: Prepared) -> dict[Literal["a", "b"], Prepared]:
    """Both sides with the same words in their prompts and the same way to ask for a length."""
    can_hold = a.can_hold_length and b.can_hold_length
    return {
        "a": dataclasses.replace(a, can_hold_length=can_hold),
        "b": dataclasses.replace(b, can_hold_length=can_hold, prompts=a.prompts),
    }


def notes_on(a: Prepared, b: Prepared) -> tuple[str, ...]:
    """What a reader should know of the two, one line each."""
    notes = []
    if a.can_hold_length != b.can_hold_length:
        able, other = ("A", "B") if a.can_hold_length else ("B", "A")
        notes.append(
            f"{other} does not take ignore_eos and min_tokens, so {able} was asked without them too: answers may "
            "have different lengths, which e2e and tokens a second depend on"
        )
    if a.target == b.target:
        notes.append("A and B are the same server: what a comparison finds here is a false alarm")
    return tuple(notes)
