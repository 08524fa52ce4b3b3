"""Texts to the token ids that an embedding model sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from serve_app.engines.embedding.base import Tokenizer, Tokens
from serve_app.errors import BadRequest, InputTooLong


@dataclass(frozen=True, slots=True)
class PreparedTexts:
    """Token ids of each text, special tokens included."""

    tokens: list[Tokens]
    num_truncated: int


class TextTokens:
    """The tokenizer with the model's limit.

    `[SEP]` written in a text is text: nobody can smuggle a special token in. Token ids sent instead
    of a text are the text's own, as OpenAI's are, and get the special tokens around them; ids that
    open with the model's first special token are taken to be complete.
    """

    def __init__(self, tokenizer: Tokenizer, name: str, limit: int, query_prefix: str) -> None:
        self._tokenizer = tokenizer
        self._name = name
        self._limit = limit  # special tokens included
        self._query_prefix = query_prefix
        self._before, self._after = _special_tokens(tokenizer)

    def count(self, text: str) -> int:
        """Tokens without special ones."""
        return len(self._plain(text))

    def prepare(
        self, texts: Sequence[str | Sequence[int]], *, is_query: bool, truncate: bool
    ) -> PreparedTexts:
        """Token ids as the model sees them.

        Raises:
            InputTooLong: a text is over the limit, and `truncate` is not set.
            BadRequest: a token id is none of the model's.
        """
        room = self._limit - len(self._before) - len(self._after)
        prefix = self._query_prefix if is_query else ""
        prepared: list[Tokens] = []
        num_truncated = 0
        for index, text in enumerate(texts):
            body = self._plain(prefix + text) if isinstance(text, str) else self._given(text, prefix, index)
            if len(body) > room:
                if not truncate:
                    num_tokens = len(body) + self._limit - room
                    raise InputTooLong(
                        f"input.{index} has {num_tokens} tokens; {self._name} takes {self._limit}",
                        f"input.{index}",
                    )
                body = body[:room]
                num_truncated += 1
            prepared.append(np.concatenate((self._before, body, self._after)))
        return PreparedTexts(prepared, num_truncated)

    def _plain(self, text: str) -> Tokens:
        return self._tokenizer.tokenize(text, add_special=False, parse_special=False)

    def _given(self, ids: Sequence[int], prefix: str, index: int) -> Tokens:
        num_known = self._tokenizer.num_vocabulary
        for place, token in enumerate(ids):
            if not 0 <= token < num_known:
                where = f"input.{index}.{place}"
                raise BadRequest(f"{where}: {self._name} has tokens 0 to {num_known - 1}, not {token}", where)
        body = np.asarray(ids, dtype=np.int32)
        if len(self._before) and body[: len(self._before)].tolist() == self._before.tolist():
            body = body[len(self._before) :]
            if len(self._after) and body[-len(self._after) :].tolist() == self._after.tolist():
                body = body[: -len(self._after)]
        return np.concatenate((self._plain(prefix), body)) if prefix else body


def _special_tokens(tokenizer: Tokenizer) -> tuple[Tokens, Tokens]:
    """What the model wants before and after every text."""
    plain = tokenizer.tokenize("a", add_special=False, parse_special=False).tolist()
    full = tokenizer.tokenize("a", add_special=True, parse_special=False)
    starts = [at for at in range(len(full)) if full[at : at + len(plain)].tolist() == plain]
    start = starts[0]
    return full[:start], full[start + len(plain) :]
