from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import pytest

from serve_app.messages import DocumentInput
from serve_app.retrieval.documents.load import LoadedDocument, load

_TOKEN = re.compile(r"[A-Za-z0-9_]+|[^\sA-Za-z0-9_]")


class WordCounter:
    """Counts words and signs, as WordPiece does for words that it knows; remembers how often it was asked."""

    def __init__(self) -> None:
        self.num_calls = 0

    async def __call__(self, texts: Sequence[str]) -> list[int]:
        self.num_calls += 1
        return [self.count(text) for text in texts]

    @staticmethod
    def count(text: str) -> int:
        return len(_TOKEN.findall(text))


@pytest.fixture
def counter() -> WordCounter:
    return WordCounter()


@pytest.fixture
def read() -> Callable[[str, str | bytes], LoadedDocument]:
    """Loads a document from its path and content."""

    def _read(path: str, content: str | bytes) -> LoadedDocument:
        return load(DocumentInput(path, content.encode() if isinstance(content, str) else content))

    return _read
