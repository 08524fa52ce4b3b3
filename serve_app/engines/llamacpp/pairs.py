"""A question and a passage as the one text that a cross-encoder reads.

By the model's own `rerank` template where its file has one (Qwen3-Reranker), else as sentence pairs are
written: [BOS] question [EOS] [SEP] passage [EOS], of these marks those that the vocabulary wants. The
same as llama.cpp's own server does (tools/server, format_prompt_rerank, read 2026-11).
"""

from __future__ import annotations

from collections.abc import Sequence

import llama_cpp
import numpy as np

from serve_app.engines.embedding.base import Tokens
from serve_app.engines.embedding.tokens import PreparedTexts
from serve_app.engines.llamacpp.library import Model

_QUERY, _DOCUMENT = "{query}", "{document}"
_MAX_QUERY_SHARE = 0.5  # of the limit: a question that is longer says it in its beginning


class PairTokens:
    """The tokenizer of a cross-encoder. `[SEP]` written in a text is text."""

    def __init__(self, model: Model, limit: int) -> None:
        self._model = model
        self._limit = limit
        self._template = model.named_template("rerank")
        vocabulary = model.vocabulary
        eos, sep = llama_cpp.llama_vocab_eos(vocabulary), llama_cpp.llama_vocab_sep(vocabulary)
        end = eos if eos >= 0 else sep
        adds_bos, adds_eos = model.adds_bos(), bool(llama_cpp.llama_vocab_get_add_eos(vocabulary))
        adds_sep = bool(llama_cpp.llama_vocab_get_add_sep(vocabulary))
        self._before = _tokens(llama_cpp.llama_vocab_bos(vocabulary) if adds_bos else -1)
        self._between = _tokens(end if adds_eos else -1, sep if adds_sep else -1)
        self._after = _tokens(end if adds_eos else -1)

    def prepare(self, query: str, passages: Sequence[str]) -> PreparedTexts:
        """Token ids of each pair; a passage that is too long loses its end."""
        head, tail = self._around(query)
        room = max(0, self._limit - len(head) - len(tail))
        bodies = [self._plain(passage) for passage in passages]
        return PreparedTexts(
            [np.concatenate((head, body[:room], tail)) for body in bodies],
            num_truncated=sum(len(body) > room for body in bodies),
        )

    def _around(self, query: str) -> tuple[Tokens, Tokens]:
        """What comes before the passage, the question in it, and what comes after."""
        asked = self._plain(query)[: int(self._limit * _MAX_QUERY_SHARE)]
        if self._template is None:
            return np.concatenate((self._before, asked, self._between)), self._after
        before, _, rest = self._template.partition(_QUERY)
        between, _, after = rest.partition(_DOCUMENT)
        parts = [self._marked(before), asked, self._marked(between)]
        return np.concatenate(parts), self._marked(after)

    def _plain(self, text: str) -> Tokens:
        return self._model.tokenize(text, add_special=False, parse_special=False)

    def _marked(self, text: str) -> Tokens:
        """A part of the template, whose special tokens are meant."""
        return self._model.tokenize(text, add_special=False, parse_special=True)


def _tokens(*ids: int) -> Tokens:
    return np.array([one for one in ids if one >= 0], np.int32)
