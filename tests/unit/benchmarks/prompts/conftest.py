"""Tokenizers to count with: one of words, one of bytes, and a BPE that is trained here on a few sentences."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import httpx
import pytest

from benchmarks.discovery.probe import Probe
from benchmarks.prompts.candidates import CANDIDATES


class Counter:
    """A TokenCounter by a function; remembers what it was asked."""

    def __init__(self, count: Callable[[str], int], *, name: str = "fake", is_remote: bool = True) -> None:
        self._count = count
        self.name = name
        self.is_remote = is_remote
        self.asked: list[str] = []

    def count(self, texts: Sequence[str]) -> list[int]:
        self.asked += texts
        return [self._count(text) for text in texts]


def count_words(text: str) -> int:
    """As Manta's mock engine counts."""
    return len(re.findall(r"\w+|[^\w\s]", text))


@pytest.fixture
def counter() -> type[Counter]:
    return Counter


@pytest.fixture
def word_counter() -> Counter:
    return Counter(count_words, name="words")


@pytest.fixture
def byte_counter() -> Counter:
    return Counter(lambda text: len(text.encode()), name="bytes")


@pytest.fixture(scope="session")
def known_words() -> tuple[str, ...]:
    """The words that the trained tokenizer has as one token: every third, so that groups are mixed."""
    return CANDIDATES[:16] + CANDIDATES[16::3]


@pytest.fixture(scope="session")
def bpe_file(tmp_path_factory: pytest.TempPathFactory, known_words: tuple[str, ...]) -> Path:
    """A byte-level BPE as models have them, trained on sentences of the known words; cuts at 24 tokens."""
    from tokenizers import Tokenizer
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel
    from tokenizers.processors import TemplateProcessing
    from tokenizers.trainers import BpeTrainer

    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    trainer = BpeTrainer(
        vocab_size=4000,
        special_tokens=["<s>"],
        initial_alphabet=ByteLevel.alphabet(),
        show_progress=False,
    )
    sentences = [f"{start} {' '.join(known_words)}" for start in known_words[:16]]
    tokenizer.train_from_iterator(sentences, trainer)
    tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    tokenizer.enable_truncation(24)
    path = tmp_path_factory.mktemp("tiny-model") / "tokenizer.json"
    tokenizer.save(str(path))
    return path


@pytest.fixture
def probe_of() -> Iterator[Callable[[Callable[[httpx.Request], httpx.Response]], Probe]]:
    """Makes probes of a server that is a function."""
    opened: list[Probe] = []

    def make(answer: Callable[[httpx.Request], httpx.Response]) -> Probe:
        probe = Probe("http://server", timeout_s=5.0, transport=httpx.MockTransport(answer))
        opened.append(probe)
        return probe

    yield make
    for probe in opened:
        probe.close()
