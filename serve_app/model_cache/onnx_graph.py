"""A BERT sentence encoder -> one ONNX file, as ONNX Runtime computes it fastest on a CPU.

The graph is written in the operators that ONNX Runtime's own optimiser would make of an exported model
(com.microsoft: EmbedLayerNormalization, Attention, BiasGelu), so that nothing depends on which patterns its version
recognises. Only SkipLayerNormalization is left out: on CPUs its kernel (1.31) takes several times as long as the two
additions and the normalisation that it stands for. All weights are F32.

    token_ids    (batch, longest) int32    padded at the end with any id
    lengths      (batch,) int32            tokens of each text
    mean_weights (batch, 1, longest) float32: 1 / length for a text's own tokens, 0 for padding
    vectors      (batch, dim) float32      pooled, not normalised

What the operators do: ONNX Runtime's docs/ContribOperators.md (read 2026-11).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from serve_app.model_cache.catalogue import SOURCE_SHA256_KEY
from serve_app.model_cache.convert import SentenceEncoder, check_encoder

_CONTRIB = "com.microsoft"
_OPSET = 17
_CONTRIB_OPSET = 1
_IR_VERSION = 8  # of opset 17; ONNX Runtime refuses files that are newer than itself
Array = NDArray[Any]


def write_onnx(encoder: SentenceEncoder, path: Path, name: str, source_sha256: str) -> None:
    """Write the encoder as ONNX.

    Raises:
        ConfigError: the encoder is of a kind that this conversion does not cover.
        OSError: the file cannot be written.
    """
    check_encoder(encoder)
    graph = _Graph(encoder)
    hidden = graph.embeddings()
    for layer in range(encoder.config["num_hidden_layers"]):
        hidden = graph.layer(hidden, f"encoder.layer.{layer}")
    graph.pool(hidden)
    model = helper.make_model(
        helper.make_graph(graph.nodes, name, _inputs(), _outputs(encoder), graph.weights),
        opset_imports=[helper.make_opsetid("", _OPSET), helper.make_opsetid(_CONTRIB, _CONTRIB_OPSET)],
        ir_version=_IR_VERSION,
        producer_name="manta",
    )
    facts = {"general.name": name, SOURCE_SHA256_KEY: source_sha256, "max_tokens": str(encoder.max_tokens)}
    helper.set_model_props(model, facts)
    onnx.save_model(model, str(path))


def _inputs() -> list[onnx.ValueInfoProto]:
    return [
        helper.make_tensor_value_info("token_ids", TensorProto.INT32, ["batch", "longest"]),
        helper.make_tensor_value_info("lengths", TensorProto.INT32, ["batch"]),
        helper.make_tensor_value_info("mean_weights", TensorProto.FLOAT, ["batch", 1, "longest"]),
    ]


def _outputs(encoder: SentenceEncoder) -> list[onnx.ValueInfoProto]:
    shape = ["batch", encoder.config["hidden_size"]]
    return [helper.make_tensor_value_info("vectors", TensorProto.FLOAT, shape)]


class _Graph:
    """Nodes and weights under construction; each method adds a part and returns the name of its output."""

    def __init__(self, encoder: SentenceEncoder) -> None:
        self._tensors = encoder.tensors
        self._max_tokens = encoder.max_tokens
        self._eps: float = encoder.config["layer_norm_eps"]
        self._num_heads: int = encoder.config["num_attention_heads"]
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def embeddings(self) -> str:
        """(batch, longest, hidden): words, positions and the one token type, normalised."""
        at = "embeddings"
        kind = self._tensors[f"{at}.token_type_embeddings.weight"][0]
        positions = self._tensors[f"{at}.position_embeddings.weight"][: self._max_tokens]
        inputs = [
            "token_ids",
            "",  # token types: all are 0, whose vector is added to the positions'
            self._add(f"{at}.word_embeddings", self._tensors[f"{at}.word_embeddings.weight"]),
            self._add(f"{at}.position_embeddings", positions + kind),
            "",
            *self._norm(f"{at}.LayerNorm"),
        ]
        return self._node("EmbedLayerNormalization", inputs, at, [f"{at}.mask"], epsilon=self._eps)

    def layer(self, hidden: str, at: str) -> str:
        attended = self._attention(hidden, f"{at}.attention.self")
        hidden = self._dense_added(attended, hidden, f"{at}.attention.output")
        inner = self._times(hidden, f"{at}.intermediate.dense")
        active = self._node("BiasGelu", [inner, self._bias(f"{at}.intermediate.dense")], f"{at}.gelu")
        return self._dense_added(active, hidden, f"{at}.output")

    def pool(self, hidden: str) -> None:
        """The mean over a text's own tokens."""
        mean = self._node("MatMul", ["mean_weights", hidden], "mean", domain="")
        axis = self._add("mean.axis", np.asarray([1], dtype=np.int64))
        self.nodes.append(helper.make_node("Squeeze", [mean, axis], ["vectors"], "vectors"))

    def _attention(self, hidden: str, at: str) -> str:
        parts = [f"{at}.{part}" for part in ("query", "key", "value")]
        weight = np.concatenate([self._tensors[f"{part}.weight"].T for part in parts], axis=1)
        bias = np.concatenate([self._tensors[f"{part}.bias"] for part in parts])
        inputs = [hidden, self._add(f"{at}.weight", weight), self._add(f"{at}.bias", bias), "lengths"]
        return self._node("Attention", inputs, at, num_heads=self._num_heads, unidirectional=0)

    def _dense_added(self, values: str, to: str, at: str) -> str:
        """A dense layer, added to what went around it, and normalised."""
        own = [self._times(values, f"{at}.dense"), self._bias(f"{at}.dense")]
        dense = self._node("Add", own, f"{at}.biased", domain="")
        added = self._node("Add", [dense, to], f"{at}.sum", domain="")
        inputs = [added, *self._norm(f"{at}.LayerNorm")]
        return self._node("LayerNormalization", inputs, f"{at}.norm", domain="", axis=-1, epsilon=self._eps)

    def _times(self, values: str, at: str) -> str:
        weight = self._add(f"{at}.weight", self._tensors[f"{at}.weight"].T)
        return self._node("MatMul", [values, weight], at, domain="")

    def _bias(self, at: str) -> str:
        return self._add(f"{at}.bias", self._tensors[f"{at}.bias"])

    def _norm(self, at: str) -> list[str]:
        return [self._add(f"{at}.{part}", self._tensors[f"{at}.{part}"]) for part in ("weight", "bias")]

    def _add(self, name: str, values: Array) -> str:
        exact = values if values.dtype == np.int64 else values.astype(np.float32)
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(exact), name))
        return name

    def _node(
        self,
        kind: str,
        inputs: Sequence[str],
        name: str,
        further_outputs: Sequence[str] = (),
        domain: str = _CONTRIB,
        **attributes: Any,
    ) -> str:
        output = f"{name}.out"
        outputs = [output, *further_outputs]
        self.nodes.append(helper.make_node(kind, inputs, outputs, name, domain=domain, **attributes))
        return output
