"""Runs another project's command: bounded in time, with all that it started ended at the end.

Knows nothing of what the command does.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from benchmarks.peers.base import ToolFailed

_STOP_TIMEOUT_S = 5.0
_MAX_REASON = 300


def run_bounded(command: Sequence[str], folder: Path, timeout_s: float) -> str:
    """What the command wrote on its standard output; it runs in `folder`, which keeps output.txt and errors.txt.

    Raises:
        ToolFailed: it is not there, ended with an error, or not in time; then it was stopped.
    """
    folder.mkdir(parents=True, exist_ok=True)
    output, errors = folder / "output.txt", folder / "errors.txt"
    # Files, because a full pipe that nobody reads would stop the command in the middle of its measurement.
    with output.open("wb") as said, errors.open("wb") as complained:
        try:
            process = subprocess.Popen(  # noqa: S603 (the user named the command)
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=complained,
                start_new_session=True,  # so that what it starts can be ended with it, and Ctrl-C is ours
            )
        except OSError as exc:
            raise ToolFailed(f"{Path(command[0]).name} cannot be run: {exc.strerror}") from exc
        try:
            code = process.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise ToolFailed(f"it did not end within {timeout_s:g} s and was stopped") from None
        finally:
            _end(process)
    if code:
        raise ToolFailed(f"it ended with {code}: {last_words(errors, output)}")
    return output.read_text(encoding="utf-8", errors="replace")


def last_words(*paths: Path) -> str:
    """The last line with a word in it of the first file that has one; a reason for a reader."""
    for path in paths:
        for line in reversed(path.read_text(encoding="utf-8", errors="replace").splitlines()):
            if any(character.isalnum() for character in line):
                return " ".join(line.split())[:_MAX_REASON]
    return "it said nothing"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the command if it still runs, and what it left behind."""
    left = _descendants(process) if process.poll() is None else []
    for number in (signal.SIGTERM, signal.SIGKILL):
        # Its session's group outlives it when it forgot a child there.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        for child in left:
            with suppress(psutil.NoSuchProcess):
                child.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_STOP_TIMEOUT_S)
            _, left = psutil.wait_procs(left, timeout=_STOP_TIMEOUT_S)


def _descendants(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Those that left the session too are found only while their parents live."""
    with suppress(psutil.NoSuchProcess):
        return list(psutil.Process(process.pid).children(recursive=True))
    return []
