"""ONNX Runtime's forward pass of a sentence encoder. Knows the graph of `model_cache.onnx_graph`, and no queue."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from serve_app.engines.embedding.base import Tokens
from serve_app.engines.embedding.lanes import Lanes
from serve_app.engines.onnx.batching import plan_steps
from serve_app.errors import ConfigError, EngineFailed
from serve_app.messages import Vectors
from serve_app.model_cache.catalogue import SOURCE_SHA256_KEY

_WARNINGS = 2  # onnxruntime_c_api.h: ORT_LOGGING_LEVEL_WARNING
# ONNX Runtime derives its errors from Exception itself, each alone, and exports none by a public name.
_STATUS = onnxruntime.capi.onnxruntime_pybind11_state
_ERRORS: tuple[type[Exception], ...] = tuple(
    getattr(_STATUS, name)
    for name in (
        "Fail",
        "InvalidArgument",
        "InvalidGraph",
        "InvalidProtobuf",
        "NoSuchFile",
        "RuntimeException",
    )
)


class OnnxEncoder:
    """An Encoder, which several threads may use at once where it has one thread itself."""

    def __init__(self, path: Path, num_threads: int, max_step_tokens: int) -> None:
        """Load the file.

        Raises:
            ConfigError: ONNX Runtime cannot load it, or it is none of ours.
        """
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), session_options(num_threads), providers=["CPUExecutionProvider"]
            )
        except _ERRORS as exc:
            raise ConfigError(f"{path}: ONNX Runtime cannot load it: {exc}") from exc
        facts = self._session.get_modelmeta().custom_metadata_map
        if SOURCE_SHA256_KEY not in facts:
            raise ConfigError(f"{path}: was not made by Manta, which knows no other graph")
        self.name: str = facts["general.name"]
        self.source_sha256: str = facts[SOURCE_SHA256_KEY]
        self.max_tokens = int(facts["max_tokens"])
        self.dim = int(self._session.get_outputs()[0].shape[1])
        self._path = path
        self._num_threads = num_threads
        self._max_step_tokens = max_step_tokens

    def plan(self, lengths: Sequence[int], num_lanes: int = 1) -> list[list[int]]:
        return plan_steps(lengths, self._max_step_tokens, num_lanes)

    def encode(self, texts: Sequence[Tokens]) -> Vectors:
        lengths = np.asarray([len(tokens) for tokens in texts], dtype=np.int32)
        shape = (len(texts), int(lengths.max()))
        token_ids = np.zeros(shape, dtype=np.int32)
        is_text = np.arange(shape[1]) < lengths[:, None]
        token_ids[is_text] = np.concatenate(texts)
        mean_weights = np.where(is_text, 1.0 / lengths[:, None], 0.0).astype(np.float32)
        feeds = {"token_ids": token_ids, "lengths": lengths, "mean_weights": mean_weights[:, None, :]}
        try:
            (vectors,) = self._session.run(["vectors"], feeds)
        except _ERRORS as exc:
            raise EngineFailed(f"ONNX Runtime failed on {len(texts)} texts: {exc}") from exc
        found: Vectors = vectors
        return found

    def lanes(self) -> Lanes:
        """This one, and with several threads one more beside it, which holds the weights again."""
        if self._num_threads == 1:
            return Lanes(self)
        lane = OnnxEncoder(self._path, 1, self._max_step_tokens)
        return Lanes(self, [lane] * self._num_threads)

    def close(self) -> None:
        del self._session


def session_options(num_threads: int) -> onnxruntime.SessionOptions:
    """How a session runs the graph."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.inter_op_num_threads = 1  # the graph is a chain
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    # The graph has the operators that it shall have; higher levels would join what it says apart, with a reason.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = _WARNINGS
    # Threads spin between the operators of a run, which are microseconds apart, and stop with it: other replicas
    # have the CPUs in between.
    options.add_session_config_entry("session.intra_op.allow_spinning", "1")
    options.add_session_config_entry("session.force_spinning_stop", "1")
    # Steps differ in shape, and what the arena plans for one does not fit the next.
    options.enable_mem_pattern = False
    return options
