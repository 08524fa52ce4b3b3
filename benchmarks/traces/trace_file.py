"""Reads a trace's file line by line; whatever is wrong becomes a BadTrace with the line's number."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.errors import BadTrace
from benchmarks.traces.azure import AZURE
from benchmarks.traces.base import Format, LineFault, TraceRequest
from benchmarks.traces.burstgpt import BURSTGPT
from benchmarks.traces.manta_trace import MANTA
from benchmarks.traces.mooncake import MOONCAKE

FORMATS: dict[str, Format] = {each.name: each for each in (MOONCAKE, AZURE, BURSTGPT, MANTA)}

# A prompt of 10 million tokens in blocks of 16 has a line of 5 MB; what is longer is no trace.
MAX_LINE_BYTES = 16 * 1024 * 1024


def read_trace(path: Path, format_name: str = "auto") -> Iterator[TraceRequest]:
    """The requests of a trace, as recorded, in order of their arrival. Reads as far as it is asked.

    Blank lines are left out.

    Args:
        format_name: of FORMATS; auto: the one that the first line fits.

    Raises:
        BadTrace: the file cannot be read, a line is not of the format, or arrives before the line before.
    """
    lines = _lines(path)
    number, first = next(lines, (0, ""))
    if number == 0:
        raise BadTrace(f"{path} is empty")
    try:
        chosen = _recognised(first) if format_name == "auto" else FORMATS[format_name]
        read, is_header = chosen.open(first)
    except LineFault as exc:
        raise BadTrace(f"{path} line {number}: {exc}") from exc
    if not is_header:
        lines = _lines(path)
    latest_s = float("-inf")
    for number, line in lines:
        try:
            request = read(line)
        except LineFault as exc:
            raise BadTrace(f"{path} line {number}: {exc}") from exc
        if request is None:
            continue
        if request.at_s < latest_s:
            raise BadTrace(
                f"{path} line {number}: its {chosen.arrival_field} is {latest_s - request.at_s:.6g} s before "
                f"that of a line above it; sort the trace first: {chosen.sort_command} <{path.name} >sorted"
            )
        latest_s = request.at_s
        yield request
    if latest_s == float("-inf"):
        raise BadTrace(f"{path} has no requests")


def _recognised(first_line: str) -> Format:
    for known in FORMATS.values():
        if known.is_mine(first_line):
            return known
    raise LineFault(f"is the start of none of the formats {', '.join(FORMATS)}: {first_line[:80]!r}")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """(number from 1, text without its line end) of each line that is not blank."""
    number = 0
    try:
        with path.open("rb") as file:
            while raw := file.readline(MAX_LINE_BYTES + 1):
                number += 1
                if len(raw) > MAX_LINE_BYTES:
                    raise BadTrace(f"{path} line {number}: longer than {MAX_LINE_BYTES} bytes")
                if number == 1:
                    raw = raw.removeprefix(b"\xef\xbb\xbf")  # as spreadsheets write UTF-8
                line = raw.decode().strip()
                if line:
                    yield number, line
    except UnicodeDecodeError as exc:
        raise BadTrace(f"{path} line {number}: not UTF-8 text") from exc
    except OSError as exc:
        raise BadTrace(f"{path} cannot be read: {exc.strerror or exc}") from exc
