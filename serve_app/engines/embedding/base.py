"""What an embedder needs of the library that computes: a tokenizer, and an encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from serve_app.messages import Vectors

Tokens = NDArray[np.int32]  # (n,), of one text


class Tokenizer(Protocol):
    """Texts to token ids. Called from several threads at once."""

    num_vocabulary: int

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> Tokens:
        """See `llamacpp.library.Model.tokenize`."""
        ...


class Encoder(Protocol):
    """A model's forward pass. Used by one thread at a time."""

    dim: int
    max_tokens: int  # of the longest text; memory grows with it

    def plan(self, lengths: Sequence[int], num_lanes: int = 1) -> list[list[int]]:
        """Which of the texts go through the model together: their indices, a list a step.

        Args:
            lengths: of the texts, in tokens.
            num_lanes: so many steps run side by side, and shall be of about the same size.
        """
        ...

    def encode(self, texts: Sequence[Tokens]) -> Vectors:
        """Pooled vectors of the texts of one step, (n, dim) float32, of any length.

        Args:
            texts: of a step of `plan`, or fewer of them; special tokens included.

        Raises:
            EngineFailed: the model could not.
        """
        ...

    def close(self) -> None: ...
