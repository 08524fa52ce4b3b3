"""A local tokenizer.json, the file that models are published with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.errors import CannotCount

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class FileTokenizer:
    """A TokenCounter that asks nobody.

    Args:
        path: the file, or the folder that holds it; `~` is expanded.

    Raises:
        CannotCount: there is no such file, or it is not a tokenizer.
    """

    is_remote = False

    def __init__(self, path: Path) -> None:
        path = path.expanduser()
        self._path = path / "tokenizer.json" if path.is_dir() else path
        self._tokenizer = _load(self._path)
        # The file may cut or fill texts to a length, which would make every count the same.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    @property
    def name(self) -> str:
        return f"{self._path.parent.name}/{self._path.name}"

    def count(self, texts: Sequence[str]) -> list[int]:
        # One by one: encoding a batch starts threads, and processes are forked from this one later.
        return [len(self._tokenizer.encode(text, add_special_tokens=False).ids) for text in texts]


def _load(path: Path) -> Tokenizer:
    from tokenizers import Tokenizer

    if not path.is_file():
        raise CannotCount(f"there is no tokenizer file {path}")
    try:
        return Tokenizer.from_file(str(path))
    except Exception as exc:  # the library raises nothing narrower
        raise CannotCount(f"{path} is not a tokenizer that can be read: {exc}") from exc
