"""Prompts that somebody wrote: a .txt file with one a line, or .jsonl with {"prompt": ...} a line.

Blank lines separate nothing and are left out; whatever else is wrong is named with its line's number.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from benchmarks.errors import BenchmarkError


class _Line(msgspec.Struct):
    """A line of a .jsonl file; its other fields are left out."""

    prompt: str


_DECODER = msgspec.json.Decoder(_Line)


class TextFiles:
    """The texts of files, each read once."""

    def __init__(self) -> None:
        self._texts: dict[Path, tuple[str, ...]] = {}

    def text(self, path: Path, index: int) -> str:
        """Text number `index` of the file, from the start again after the last.

        Raises:
            BenchmarkError: as read_texts.
        """
        texts = self._texts.get(path)
        if texts is None:
            texts = self._texts[path] = read_texts(path)
        return texts[index % len(texts)]


def read_texts(path: Path) -> tuple[str, ...]:
    """The texts of a file in their order; at least one. `~` is expanded.

    Raises:
        BenchmarkError: it cannot be read, or holds no texts; the message names the file and the line.
    """
    path = path.expanduser()
    if path.suffix not in (".txt", ".jsonl"):
        raise BenchmarkError(f"{path}: prompts come from .txt or .jsonl files")
    try:
        raw = path.read_bytes()
    except OSError as exc:
        raise BenchmarkError(f"{path} cannot be read: {exc.strerror}") from exc
    read = _jsonl_text if path.suffix == ".jsonl" else _txt_text
    texts = []
    for number, line in enumerate(raw.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if line.strip():
            texts.append(read(line.strip(), f"{path}:{number}"))
    if not texts:
        raise BenchmarkError(f"{path} holds no prompts")
    return tuple(texts)


def _txt_text(line: bytes, place: str) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as exc:
        raise BenchmarkError(f"{place}: not UTF-8 text") from exc


def _jsonl_text(line: bytes, place: str) -> str:
    try:
        prompt = _DECODER.decode(line).prompt
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise BenchmarkError(f"{place}: not an object with a text `prompt`: {exc}") from exc
    if not prompt.strip():
        raise BenchmarkError(f"{place}: the prompt is empty")
    return prompt
