"""The fastest engine for an embedding model on this machine: measured, kept, and opened.

What is fastest depends on the CPU and on the libraries. Guessing from flags is not enough: on an x86 CPU with BF16
instructions F32 on ONNX Runtime was a fifth faster than BF16 on llama.cpp with long texts, and slower with short ones.
Measuring takes a few seconds, once.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from configs.schema import AutoEmbedder, CatalogueWeights, LlamaCppEmbedder, OnnxEmbedder
from serve_app.engines.embedding.base import Encoder, Tokenizer, Tokens
from serve_app.engines.embedding.embedder import BatchingEmbedder
from serve_app.engines.embedding.lanes import Lanes
from serve_app.engines.threads import share_cpus
from serve_app.messages import Vectors
from serve_app.model_cache.cache import EncoderFiles, ensure_encoder, has_onnx
from serve_app.model_cache.choice import (
    Choice,
    EngineName,
    Measured,
    choice_path,
    cpu_name,
    read_choice,
    versions,
    write_choice,
)
from serve_app.model_cache.locking import writer_of
from serve_app.model_cache.weight_type import native_weight_type

logger = logging.getLogger("manta.embedding")

_NUM_ROUNDS = 4  # the first warms up; of the others the best counts, because noise only slows
_NUM_SHORT, _NUM_LONG = 96, 10  # texts, some 2,000 tokens each
_SHORT_WORDS, _LONG_WORDS = 18, 190
_WORDS = (
    "the of and in to with for cells patients protein expression was were that by from treatment study risk "
    "cancer mice results human gene analysis associated increased levels activity clinical between disease "
    "reef ocean light deep current species temperature season 2019 0.05 (p < 12%) however, whether significantly"
)
_HARD = (
    "naïve café",
    "深海の魚",
    "🐟 fish 🐟🐟 ... !!! $5.00",
    "The [SEP] in this text is text.",
    "antidisestablishmentarianism",
    "x",
    ".",
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An engine that may be chosen."""

    engine: EngineName
    weight_type: str
    lanes: Lanes


def open_fastest_embedder(config: AutoEmbedder, home: Path, num_cpus: int) -> BatchingEmbedder:
    """The embedder on the engine that is the fastest here; measures first if nobody did. Slow.

    A model that can only be had as GGUF runs on llama.cpp, without a measurement.

    Raises:
        ConfigError: the weights are missing or broken, or the settings do not fit.
    """
    from serve_app.engines.llamacpp.embed import open_llamacpp_embedder
    from serve_app.engines.onnx.embed import open_onnx_embedder

    given = config.model_dump(exclude={"engine"}, exclude_unset=True)
    if has_onnx(config.weights):
        best = ensure_choice(config.weights, home, config.num_threads or num_cpus).best
        if best.engine == "onnx":
            return open_onnx_embedder(OnnxEmbedder(engine="onnx", **given), home, num_cpus)
    return open_llamacpp_embedder(LlamaCppEmbedder(engine="llamacpp", **given), home, num_cpus)


def ensure_choice(weights: CatalogueWeights, home: Path, num_threads: int, *, again: bool = False) -> Choice:
    """The choice for this machine, measured if there is none of this CPU and these libraries.

    Args:
        weights: of a model that both engines can have.
        home: where weights are kept.
        num_threads: that the engine will have.
        again: measure whatever was found before.

    Raises:
        ConfigError, Unavailable, StorageFull: as `model_cache.cache.ensure`.
    """
    path = choice_path(weights, home, num_threads)
    found = None if again else read_choice(path)
    if found is not None and found.is_current:
        return found
    files = ensure_encoder(weights, home)
    with writer_of(path):
        found = None if again else read_choice(path)
        if found is not None and found.is_current:  # another process measured while we waited
            return found
        choice = _measured(weights, files, num_threads)
        write_choice(choice, path)
    logger.info("%s runs on %s here: %s", choice.model, choice.best.engine, choice.reason())
    return choice


def compare(
    candidates: Sequence[Candidate], tokenizer: Tokenizer, clock: Callable[[], float] = time.perf_counter
) -> tuple[Measured, ...]:
    """Rates of the candidates, taken in turns so that a drift of the machine meets all, and their cosines.

    The first candidate computes in F32: its vectors are the reference. Token ids are the same for all.
    """
    rng = random.Random(0)  # noqa: S311 (texts, no secret)
    words = _WORDS.split()
    short = [_tokens(tokenizer, rng.choices(words, k=_SHORT_WORDS)) for _ in range(_NUM_SHORT)]
    long = [_tokens(tokenizer, rng.choices(words, k=_LONG_WORDS)) for _ in range(_NUM_LONG)]
    mixed = [*short[:8], *long[:2], *(_tokens(tokenizer, [text]) for text in _HARD)]
    best: dict[tuple[int, int], float] = {}  # (candidate, kind of text) -> seconds
    for _ in range(_NUM_ROUNDS):
        for at, candidate in enumerate(candidates):
            for kind, texts in enumerate((short, long)):
                began_s = clock()
                _encoded(candidate.lanes, texts)
                took_s = clock() - began_s
                best[at, kind] = min(took_s, best.get((at, kind), took_s))
    reference = _encoded(candidates[0].lanes, mixed)
    return tuple(
        Measured(
            engine=candidate.engine,
            weight_type=candidate.weight_type,
            short_tokens_per_s=round(sum(map(len, short)) / best[at, 0], 1),
            long_tokens_per_s=round(sum(map(len, long)) / best[at, 1], 1),
            min_cosine=round(float(_cosines(reference, _encoded(candidate.lanes, mixed)).min()), 7),
        )
        for at, candidate in enumerate(candidates)
    )


def _measured(weights: CatalogueWeights, files: EncoderFiles, num_threads: int) -> Choice:
    share_cpus()  # as in a replica
    from serve_app.engines.llamacpp.embed import llamacpp_lanes
    from serve_app.engines.llamacpp.library import Model
    from serve_app.engines.onnx.encoder import OnnxEncoder

    # As they run without any setting.
    onnx = OnnxEmbedder(engine="onnx", name=weights.catalogue, weights=weights)
    llamacpp = LlamaCppEmbedder(engine="llamacpp", name=weights.catalogue, weights=weights)
    with ExitStack() as stack:
        model = Model(files.gguf)
        stack.callback(model.close)
        in_f32 = OnnxEncoder(files.onnx, num_threads, onnx.max_step_tokens).lanes()
        stack.callback(in_f32.close)
        in_native = llamacpp_lanes(model, llamacpp, model.context_tokens, num_threads)
        stack.callback(in_native.close)
        candidates = [
            Candidate("onnx", "f32", in_f32),
            Candidate("llamacpp", native_weight_type(), in_native),
        ]
        measured = compare(candidates, model)
    return Choice(weights.catalogue, num_threads, cpu_name(), versions(), measured)


def _tokens(tokenizer: Tokenizer, words: Sequence[str]) -> Tokens:
    return tokenizer.tokenize(" ".join(words), add_special=True, parse_special=False)


def _encoded(lanes: Lanes, texts: Sequence[Tokens]) -> Vectors:
    """(n, dim), in the order of the texts."""
    vectors = np.empty((len(texts), lanes.dim), dtype=np.float32)

    def encode(encoder: Encoder, step: Sequence[int]) -> None:
        vectors[step] = encoder.encode([texts[index] for index in step])

    lanes.run(lanes.plan([len(tokens) for tokens in texts]), encode)
    return vectors


def _cosines(first: Vectors, other: Vectors) -> NDArray[np.float64]:
    a, b = first.astype(np.float64), other.astype(np.float64)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.asarray(np.sum(a * b, axis=1) / lengths)
