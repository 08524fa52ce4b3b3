"""`-m benchmarks.embeddings.workers.llama_cpp_plain`: llama-cpp-python as its documentation shows it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import llama_cpp

from benchmarks.embeddings.workers import lines


class Plain:
    """`create_embedding`: a text, or a list of them."""

    def __init__(self, path: str, num_threads: int, context_tokens: int) -> None:
        self._llama = llama_cpp.Llama(
            path,
            embedding=True,
            n_ctx=context_tokens,
            n_threads=num_threads,
            n_threads_batch=num_threads,  # else it takes all CPUs
            verbose=False,
        )

    def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        found: Any = self._llama.create_embedding(list(texts) if len(texts) > 1 else texts[0])
        return [one["embedding"] for one in found["data"]]


def main() -> None:
    """Serve until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="a GGUF file")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--context-tokens", type=int, default=512)
    arguments = parser.parse_args()
    plain = Plain(arguments.model, arguments.threads, arguments.context_tokens)
    lines.serve({"llama-cpp-python": version("llama-cpp-python")}, plain)


if __name__ == "__main__":
    main()
