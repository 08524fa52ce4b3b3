"""`-m benchmarks.embeddings.workers.sentence_transformers_plain`: sentence-transformers on torch, in F32."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from benchmarks.embeddings.workers import lines


class Plain:
    """`encode`, which sorts by length and pads batches of its own."""

    def __init__(self, path: str, num_threads: int) -> None:
        # Of an environment of its own, which the types' checker does not see.
        torch: Any = importlib.import_module("torch")
        sentence_transformers: Any = importlib.import_module("sentence_transformers")
        torch.set_num_threads(num_threads)
        self._model = sentence_transformers.SentenceTransformer(path, device="cpu")

    def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        found: Sequence[Sequence[float]] = self._model.encode(list(texts), show_progress_bar=False)
        return found


def main() -> None:
    """Serve until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="a folder of sentence-transformers")
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    plain = Plain(arguments.model, arguments.threads)
    libraries = {name: version(name) for name in ("sentence-transformers", "torch")}
    lines.serve(libraries, plain)


if __name__ == "__main__":
    main()
