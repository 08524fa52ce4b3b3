"""`-m benchmarks.embeddings.workers.onnx_plain`: ONNX Runtime on an exported encoder, as an example would use it.

The exported graph gives hidden states for `input_ids`, `attention_mask` and `token_type_ids`; texts go in sorted by
length, in padded batches.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from benchmarks.embeddings.workers import lines


class Plain:
    """A session with default options but for its threads."""

    def __init__(self, folder: Path, num_threads: int, batch_tokens: int, max_tokens: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads
        files = sorted(folder.rglob("*.onnx"))
        if not files:
            raise SystemExit(f"{folder} has no .onnx file")
        self._session = onnxruntime.InferenceSession(
            str(files[0]), options, providers=["CPUExecutionProvider"]
        )
        self._names = {one.name for one in self._session.get_inputs()}
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(max_tokens)
        self._tokenizer.no_padding()
        self._batch_tokens = batch_tokens

    def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        ids = [one.ids for one in self._tokenizer.encode_batch(list(texts))]
        order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
        found: dict[int, Sequence[float]] = {}
        start = 0
        while start < len(order):
            end = start + 1
            while end < len(order) and (end + 1 - start) * len(ids[order[end]]) <= self._batch_tokens:
                end += 1
            batch = order[start:end]
            found.update(zip(batch, self._vectors([ids[index] for index in batch]), strict=True))
            start = end
        return [found[index] for index in range(len(ids))]

    def _vectors(self, batch: Sequence[Sequence[int]]) -> Sequence[Sequence[float]]:
        longest = max(map(len, batch))
        token_ids = np.asarray([[*ids, *[0] * (longest - len(ids))] for ids in batch], dtype=np.int64)
        mask = np.asarray([[1] * len(ids) + [0] * (longest - len(ids)) for ids in batch], dtype=np.int64)
        given = {
            "input_ids": token_ids,
            "attention_mask": mask,
            "token_type_ids": np.zeros_like(token_ids),
        }
        hidden = self._session.run(None, {name: given[name] for name in given if name in self._names})[0]
        mean = (hidden * mask[:, :, None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
        vectors: Sequence[Sequence[float]] = mean / np.linalg.norm(mean, axis=1, keepdims=True)
        return vectors


def main() -> None:
    """Serve until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--model", type=Path, required=True, help="a folder with tokenizer.json and the graph"
    )
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--batch-tokens", type=int, default=256, help="about 8 short texts, or a long one")
    parser.add_argument("--max-tokens", type=int, default=256)
    arguments = parser.parse_args()
    plain = Plain(arguments.model, arguments.threads, arguments.batch_tokens, arguments.max_tokens)
    lines.serve({"onnxruntime": version("onnxruntime")}, plain)


if __name__ == "__main__":
    main()
