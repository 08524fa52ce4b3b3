"""How probable tokens were, by logits that nothing has touched yet."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from serve_app.engines.llamacpp.library import Model
from serve_app.openai_api.parts import TokenLogprob


class RawLogprobs:
    """The distribution of one next token.

    Args:
        logits: (num_vocabulary,) float32, read now: they may change afterwards.
        num_top: of the most probable tokens, how many are told.
    """

    def __init__(self, logits: NDArray[np.float32], num_top: int) -> None:
        highest = float(logits.max())
        # log softmax(x) = x - log sum exp(x), with the highest taken out so that nothing overflows.
        self._log_sum = highest + math.log(float(np.exp(logits - highest).sum(dtype=np.float64)))
        self._logits = logits
        self._top: list[tuple[int, float]] = []
        if num_top:
            best = (
                np.argpartition(logits, -num_top)[-num_top:]
                if num_top < len(logits)
                else np.arange(len(logits))
            )
            best = best[np.argsort(-logits[best], kind="stable")]
            self._top = [(int(token), float(logits[token]) - self._log_sum) for token in best]

    def of(self, token: int, model: Model, offset: int) -> TokenLogprob:
        """What is told of the token that was chosen, whose own logit is still as it was.

        Args:
            token: chosen.
            model: whose vocabulary it is.
            offset: characters of the answer before it.
        """
        return TokenLogprob(
            model.piece(token, special=True),
            float(self._logits[token]) - self._log_sum,
            tuple((model.piece(one, special=True), logprob) for one, logprob in self._top),
            offset,
        )
