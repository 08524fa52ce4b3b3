"""SamplingParams as a chain of llama.cpp's samplers."""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from serve_app.engines.base import SamplingParams
from serve_app.engines.llamacpp.library import Context, Model

_SEED_MASK = 0xFFFFFFFF
_RANDOM_SEED = llama_cpp.LLAMA_DEFAULT_SEED  # llama.cpp reads this one as "choose a seed yourself"


class Sampler:
    """Chooses the next token of one sequence. The same seed and the same logits give the same tokens."""

    def __init__(
        self,
        params: SamplingParams,
        model: Model,
        *,
        banned: Sequence[int] = (),
        prompt: NDArray[np.int32],
        max_tokens: int,
    ) -> None:
        """Build the chain.

        Args:
            params: what the caller asked for.
            model: whose vocabulary it chooses from.
            banned: tokens that are never chosen.
            prompt: (n,) int32.
            max_tokens: of the answer; penalties look back on all of it.
        """
        self._chain = llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params())
        num_vocabulary = model.num_vocabulary
        biases = [*params.logit_bias, *((token, -math.inf) for token in banned)]
        if biases:
            given = (llama_cpp.llama_logit_bias * len(biases))(
                *(llama_cpp.llama_logit_bias(*one) for one in biases)
            )
            self._add(llama_cpp.llama_sampler_init_logit_bias(num_vocabulary, len(biases), given))
        if params.repetition_penalty != 1.0:
            # On prompt and answer, as everywhere where it has this name.
            seen = llama_cpp.llama_sampler_init_penalties(
                num_vocabulary, len(prompt) + max_tokens, params.repetition_penalty, 0.0, 0.0
            )
            for token in prompt.tolist():
                llama_cpp.llama_sampler_accept(seen, token)
            self._add(seen)
        if params.frequency_penalty or params.presence_penalty:
            # On generated tokens only, as OpenAI's: the prompt is never shown to the chain.
            self._add(
                llama_cpp.llama_sampler_init_penalties(
                    num_vocabulary, max_tokens, 1.0, params.frequency_penalty, params.presence_penalty
                )
            )
        if params.temperature <= 0.0:
            self._add(llama_cpp.llama_sampler_init_greedy())
        else:
            self._add_random(params)

    def sample(self, context: Context, row: int) -> int:
        """The next token, by the logits of token `row` of the last batch."""
        return int(llama_cpp.llama_sampler_sample(self._chain, context.handle, row))

    def close(self) -> None:
        if self._chain:
            llama_cpp.llama_sampler_free(self._chain)
            self._chain = None

    def _add_random(self, params: SamplingParams) -> None:
        if params.top_k is not None and params.top_k > 0:
            self._add(llama_cpp.llama_sampler_init_top_k(params.top_k))
        if params.top_p < 1.0:
            self._add(llama_cpp.llama_sampler_init_top_p(params.top_p, 1))
        if params.min_p:
            self._add(llama_cpp.llama_sampler_init_min_p(params.min_p, 1))
        self._add(llama_cpp.llama_sampler_init_temp(params.temperature))
        self._add(llama_cpp.llama_sampler_init_dist(seed_of(params.seed)))

    def _add(self, sampler: object) -> None:
        llama_cpp.llama_sampler_chain_add(self._chain, sampler)  # which owns it from here on


def seed_of(seed: int | None) -> int:
    """32 bits of the caller's seed, or random ones."""
    chosen = secrets.randbits(32) if seed is None else seed & _SEED_MASK
    return 0 if chosen == _RANDOM_SEED else chosen
