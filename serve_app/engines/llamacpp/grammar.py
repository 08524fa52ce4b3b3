"""Grammars of answers, by llguidance: which tokens may come next.

Compiled on the callers' threads, used on the engine's. Knows nothing of what the grammars are for.
"""

from __future__ import annotations

import ctypes
import logging
import re
import threading
import time
from collections.abc import Iterable

import llama_cpp
import numpy as np
from llguidance import LLMatcher, LLParserLimits, LLTokenizer
from numpy.typing import NDArray

from serve_app.engines.llamacpp.library import Model
from serve_app.errors import BadRequest

logger = logging.getLogger("manta.llamacpp")

# A grammar comes from the request, so its author is not trusted. llguidance counts its own work in these units;
# its defaults are for servers with a core to spare for each text, and here all texts share one thread.
_LIMITS = LLParserLimits(
    max_items_in_row=1_000,
    initial_lexer_fuel=500_000,  # about 10 ms
    step_lexer_fuel=100_000,  # about 7 ms
    step_max_items=20_000,  # about 1 ms
    max_lexer_states=50_000,  # 1 to 2 kB each
    max_grammar_size=100_000,
    verbose_errors=False,
)
_MAX_GRAMMAR_BYTES = 128 << 10
_CONTROL_PREFIX = b"\xff"  # which llguidance reads as: no text, but a token with a name
# llguidance says where in the grammar it stumbled, and shows the lines; the grammar is ours, the schema the caller's.
_PLACE = re.compile(r"at \d+\(\d+\): (failed to compile JSON schema: )?")
_LINES = re.compile(r"\n\s*\d+ \|.*", re.DOTALL)
_BLANKS = re.compile(r"\s+")
_MAX_REASON = 300  # characters


class TooComplex(BadRequest):
    """A grammar went over a limit while it was used."""


class Grammars:
    """The grammars of one model's answers. Safe for several threads."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._lock = threading.Lock()
        self._tokenizer: LLTokenizer | None = None

    def compile(self, lark: str, param: str) -> Constraint:
        """A grammar, ready to be used for one text. Slow the first time: llguidance reads the vocabulary then.

        Args:
            lark: in llguidance's syntax.
            param: the request's field that it comes from.

        Raises:
            BadRequest: it is impossible, too large, or says what llguidance cannot do; the message names that.
        """
        if len(lark) > _MAX_GRAMMAR_BYTES:
            raise BadRequest(f"{param}: {len(lark)} bytes; {_MAX_GRAMMAR_BYTES} at most", param)
        matcher = LLMatcher(self._vocabulary(), lark, log_level=0, limits=_LIMITS)
        if matcher.is_error():
            raise BadRequest(f"{param}: {_reason(matcher)}", param)
        return Constraint(matcher, self._model.num_vocabulary, param)

    def _vocabulary(self) -> LLTokenizer:
        with self._lock:
            if self._tokenizer is None:
                start = time.perf_counter()
                self._tokenizer = _read_vocabulary(self._model)
                logger.info("read the vocabulary for grammars in %.2f s", time.perf_counter() - start)
            return self._tokenizer


class Constraint:
    """What one text may still become."""

    def __init__(self, matcher: LLMatcher, num_vocabulary: int, param: str) -> None:
        self._matcher = matcher
        self._param = param
        self._num_vocabulary = num_vocabulary
        self._bits: NDArray[np.int32] = np.zeros((num_vocabulary + 31) // 32, dtype=np.int32)

    @property
    def is_complete(self) -> bool:
        """Whether nothing may follow."""
        return bool(self._matcher.is_stopped())

    def mask(self, logits: NDArray[np.float32]) -> None:
        """Make every token impossible that may not come next; in place, (num_vocabulary,) float32.

        Raises:
            TooComplex: that took too much work.
        """
        self._matcher.unsafe_compute_mask_ptr(self._bits.ctypes.data, self._bits.nbytes)
        self._check()
        allowed = np.unpackbits(self._bits.view(np.uint8), count=self._num_vocabulary, bitorder="little")
        np.copyto(logits, -np.inf, where=allowed == 0)

    def accept(self, token: int) -> None:
        """The token was chosen.

        Raises:
            TooComplex: following it took too much work.
        """
        self._matcher.consume_token(token)
        self._check()

    def _check(self) -> None:
        if self._matcher.is_error():
            raise TooComplex(f"{self._param}: {_reason(self._matcher)}", self._param)


def _reason(matcher: LLMatcher) -> str:
    """llguidance's message in one line."""
    said = _LINES.sub("", matcher.get_error())
    return _BLANKS.sub(" ", _PLACE.sub("", said)).strip()[:_MAX_REASON]


def _read_vocabulary(model: Model) -> LLTokenizer:
    """The vocabulary as llguidance wants it: bytes of each token, control tokens marked.

    Tokens that a user defined, such as Qwen's <tool_call>, stay text: a grammar then takes them and their
    spelling alike.
    """
    pieces = [
        (_CONTROL_PREFIX if model.is_control(token) else b"") + model.piece(token, special=True)
        for token in range(model.num_vocabulary)
    ]
    tokenize = ctypes.cast(llama_cpp.llama_cpp._lib.llama_tokenize, ctypes.c_void_p).value  # noqa: SLF001 (its address)
    tokenizer: LLTokenizer = LLTokenizer.from_llamacpp(  # type: ignore[attr-defined]
        tokens=pieces, vocab_ptr=model.vocabulary, tokenize_fptr=tokenize, eos_token=model.end_tokens()
    )
    return tokenizer


def control_tokens(model: Model, markers: Iterable[str]) -> dict[str, int]:
    """Those of the markers that the vocabulary has as control tokens, with their ids."""
    found = {}
    for marker in markers:
        tokens = model.tokenize(marker, add_special=False, parse_special=True)
        if len(tokens) == 1 and model.is_control(int(tokens[0])):
            found[marker] = int(tokens[0])
    return found
