from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from serve_app.engines.embedding.base import Tokens
from serve_app.engines.embedding.fastest import Candidate, compare
from serve_app.engines.embedding.lanes import Lanes
from serve_app.messages import Vectors
from serve_app.model_cache.choice import Choice, cpu_name, versions


class Clock:
    """Goes on only when somebody computes."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class WordTokenizer:
    num_vocabulary = 1000

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> Tokens:
        assert add_special
        assert not parse_special
        return np.asarray([1, *(2 + len(word) for word in text.split()), 0], dtype=np.int32)


class FakeEncoder:
    """Takes so many seconds a token; its vectors are the counts of ids, turned by `error`."""

    dim = 64
    max_tokens = 256

    def __init__(self, clock: Clock, seconds_per_token: float, error: float = 0.0) -> None:
        self._clock = clock
        self._seconds_per_token = seconds_per_token
        self._error = error

    def plan(self, lengths: Sequence[int], num_lanes: int = 1) -> list[list[int]]:
        return [[index] for index in range(len(lengths))]

    def encode(self, texts: Sequence[Tokens]) -> Vectors:
        self._clock.now_s += self._seconds_per_token * sum(map(len, texts))
        vectors = np.stack([np.bincount(tokens, minlength=self.dim) for tokens in texts]).astype(np.float32)
        vectors[:, -1] = self._error * np.linalg.norm(vectors, axis=1)
        return vectors

    def close(self) -> None: ...


def choice(*candidates: tuple[float, float]) -> Choice:
    clock = Clock()
    lanes = [Lanes(FakeEncoder(clock, seconds, error)) for seconds, error in candidates]
    found = compare(
        [
            Candidate("onnx", "f32", lanes[0]),
            *(Candidate("llamacpp", "bf16", one) for one in lanes[1:]),
        ],
        WordTokenizer(),
        clock,
    )
    return Choice("model", 2, cpu_name(), versions(), found)


def test_the_faster_engine_is_chosen() -> None:
    found = choice((1e-4, 0.0), (5e-5, 0.0))
    assert found.best.engine == "llamacpp"
    assert found.best.short_tokens_per_s == pytest.approx(20_000)
    assert found.best.long_tokens_per_s == pytest.approx(20_000)
    assert choice((5e-5, 0.0), (1e-4, 0.0)).best.engine == "onnx"


def test_a_faster_engine_whose_vectors_differ_is_not() -> None:
    found = choice((1e-4, 0.0), (1e-5, 0.1))
    assert found.measured[1].min_cosine < 0.9999
    assert found.best.engine == "onnx"


def test_the_reason_names_every_engine_and_its_rates() -> None:
    assert choice((1e-4, 0.0), (5e-5, 0.0)).reason() == (
        "tokens/s of short/long texts with 2 threads: onnx f32 10,000/10,000, llamacpp bf16 20,000/20,000"
    )
