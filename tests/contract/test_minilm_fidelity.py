"""The GGUF file made from MiniLM gives the vectors that MiniLM was trained to give.

The reference is BERT's forward pass and its tokenizer, written down here in numpy after the paper
(Devlin et al. 2018) and the word-piece algorithm, over the original F32 weights.
"""

from __future__ import annotations

import unicodedata
from math import erf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from configs.schema import CatalogueWeights, FileWeights, LlamaCppEmbedder, OnnxEmbedder
from serve_app.engines.llamacpp.embed import open_llamacpp_embedder
from serve_app.engines.onnx.embed import open_files
from serve_app.messages import RequestContext
from serve_app.model_cache.cache import EncoderFiles
from serve_app.model_cache.catalogue import CATALOGUE, PackageSource
from serve_app.model_cache.convert import SentenceEncoder, read_encoder, write_gguf
from serve_app.model_cache.onnx_graph import write_onnx
from serve_app.model_cache.weight_type import WeightType

Array = NDArray[Any]

TEXTS = [
    "How do I change how long the chunks are?",
    "Statins lower cholesterol; their effect on dementia (n = 1,204) was not significant (p=0.31).",
    "Naïve café — ÀÉÎÕÜ, STRASSE, ﬁne",
    "深海の魚 lives 中文字符 here",
    "🐟 fish 🐟🐟 ... !!! $5.00 @user #tag",
    "The [SEP] and [CLS] in this text are literal, and so is [MASK].",
    "supercalifragilisticexpialidocious antidisestablishmentarianism",
    "   tabs\tand\nnewlines  ",
    ".",
    "",
    "Deep reefs are cold and dark, and what lives there is seldom seen by anyone. " * 14,
]


@pytest.fixture(scope="module")
def encoder(minilm_wheel: Path) -> SentenceEncoder:
    source = CATALOGUE["all-minilm-l6-v2"].source
    assert isinstance(source, PackageSource)
    return read_encoder(minilm_wheel, source.folder)


@pytest.fixture(scope="module")
def reference(encoder: SentenceEncoder) -> tuple[list[list[int]], Array]:
    """Token ids and vectors of TEXTS."""
    words = {word: index for index, word in enumerate(encoder.vocabulary)}
    ids = [tokenize(text, words) for text in TEXTS]
    return ids, np.stack([forward(one, encoder) for one in ids])


# Measured: at least 0.9999986 in F32 (attention keeps its keys in F16), 0.9999981 in F16 and
# 0.999971 in BF16.
@pytest.mark.parametrize(("weight_type", "bound"), [("f32", 0.99999), ("f16", 0.99999), ("bf16", 0.9999)])
async def test_vectors_agree_with_the_reference(
    encoder: SentenceEncoder,
    reference: tuple[list[list[int]], Array],
    tmp_path: Path,
    context: RequestContext,
    weight_type: WeightType,
    bound: float,
) -> None:
    path = tmp_path / f"minilm.{weight_type}.gguf"
    write_gguf(encoder, path, weight_type, "minilm", "0" * 64)
    config = LlamaCppEmbedder(engine="llamacpp", name="minilm", weights=FileWeights(path=str(path)))
    embedder = open_llamacpp_embedder(config, tmp_path, 1)
    ids, vectors = reference
    try:
        seen = embedder._tokens.prepare(TEXTS, is_query=False, truncate=False).tokens
        assert [tokens.tolist() for tokens in seen] == ids
        found = (await embedder.embed(TEXTS, context)).vectors
    finally:
        await embedder.close()
    assert np.min(np.sum(found * vectors, axis=1)) >= bound


async def test_the_vectors_of_onnx_runtime_are_those_of_the_reference_and_of_llamacpp(
    encoder: SentenceEncoder,
    reference: tuple[list[list[int]], Array],
    tmp_path: Path,
    context: RequestContext,
) -> None:
    files = EncoderFiles(tmp_path / "minilm.bf16.gguf", tmp_path / "minilm.onnx")
    write_gguf(encoder, files.gguf, "bf16", "minilm", "0" * 64)
    write_onnx(encoder, files.onnx, "minilm", "0" * 64)
    on_onnx = OnnxEmbedder(engine="onnx", name="minilm", weights=CatalogueWeights(catalogue="unused"))
    on_llamacpp = LlamaCppEmbedder(
        engine="llamacpp", name="minilm", weights=FileWeights(path=str(files.gguf))
    )
    onnx, llamacpp = open_files(on_onnx, files, 1), open_llamacpp_embedder(on_llamacpp, tmp_path, 1)
    try:
        found = await onnx.embed(TEXTS, context)
        other = await llamacpp.embed(TEXTS, context)
        assert onnx.card().embedding_id == llamacpp.card().embedding_id
    finally:
        await onnx.close()
        await llamacpp.close()
    assert found.num_tokens == other.num_tokens == tuple(map(len, reference[0]))
    assert np.min(np.sum(found.vectors * reference[1], axis=1)) >= 0.999999
    assert np.min(np.sum(found.vectors * other.vectors, axis=1)) >= 0.9999


def tokenize(text: str, words: dict[str, int]) -> list[int]:
    """BERT's uncased tokenizer: split, lower-case, strip accents, then longest word piece first."""
    pieces = [piece for word in _split(text) for piece in _word_pieces(word, words)]
    return [words["[CLS]"], *pieces, words["[SEP]"]]


def _split(text: str) -> list[str]:
    spaced = []
    for letter in unicodedata.normalize("NFD", text.lower()):
        category = unicodedata.category(letter)
        if category == "Mn":
            continue
        is_ascii_symbol = letter.isascii() and not letter.isalnum() and not letter.isspace()
        is_chinese = 0x4E00 <= ord(letter) <= 0x9FFF or 0x3400 <= ord(letter) <= 0x4DBF
        alone = category.startswith("P") or is_ascii_symbol or is_chinese
        spaced.append(f" {letter} " if alone else letter)
    return "".join(spaced).split()


def _word_pieces(word: str, words: dict[str, int]) -> list[int]:
    pieces: list[int] = []
    start = 0
    while start < len(word):
        mark = "##" if start else ""
        ends = range(len(word), start, -1)
        end = next((end for end in ends if mark + word[start:end] in words), None)
        if end is None:
            return [words["[UNK]"]]
        pieces.append(words[mark + word[start:end]])
        start = end
    return pieces


def forward(ids: list[int], encoder: SentenceEncoder) -> Array:
    """The sentence's vector, (dim,), L2-normalised: mean over all tokens of the last layer."""
    tensors, eps = encoder.tensors, encoder.config["layer_norm_eps"]

    def norm(x: Array, name: str) -> Array:
        centred = x - x.mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + eps)
        return np.asarray(scaled * tensors[f"{name}.weight"] + tensors[f"{name}.bias"])

    def dense(x: Array, name: str) -> Array:
        return np.asarray(x @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"])

    x = tensors["embeddings.word_embeddings.weight"][ids].astype(np.float64)
    x = x + tensors["embeddings.position_embeddings.weight"][: len(ids)]
    x = norm(x + tensors["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for layer in range(encoder.config["num_hidden_layers"]):
        at = f"encoder.layer.{layer}"
        x = norm(
            x + dense(_attention(x, at, encoder, dense), f"{at}.attention.output.dense"),
            f"{at}.attention.output.LayerNorm",
        )
        inner = dense(x, f"{at}.intermediate.dense")
        gelu = inner * 0.5 * (1.0 + np.vectorize(erf)(inner / np.sqrt(2.0)))
        x = norm(x + dense(gelu, f"{at}.output.dense"), f"{at}.output.LayerNorm")
    mean = x.mean(axis=0)
    return np.asarray(mean / np.linalg.norm(mean))


def _attention(x: Array, at: str, encoder: SentenceEncoder, dense: Any) -> Array:
    num_heads = encoder.config["num_attention_heads"]
    # (n_tokens, hidden) -> (n_heads, n_tokens, head)
    q, k, v = (
        dense(x, f"{at}.attention.self.{part}").reshape(len(x), num_heads, -1).swapaxes(0, 1)
        for part in ("query", "key", "value")
    )
    scores = q @ k.swapaxes(1, 2) / np.sqrt(q.shape[-1])
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return np.asarray((weights @ v).swapaxes(0, 1).reshape(len(x), -1))
