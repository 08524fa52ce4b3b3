"""llama.cpp's C interface as plain objects: a model, a context, a batch. No policy.

Not safe for two threads, except `Model.tokenize` and `Model.piece`, which only read. The owner closes
what it opened: a context before its model.
"""

from __future__ import annotations

import collections
import ctypes
import logging
import math
import threading
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from serve_app.errors import ConfigError, EngineFailed

logger = logging.getLogger("manta.llamacpp")

_ERROR_LEVEL = 4  # GGML_LOG_LEVEL_ERROR in ggml.h
_CONTINUED_LEVEL = 5  # the rest of the line before
_errors: collections.deque[str] = collections.deque(maxlen=8)  # llama.cpp's log is global, so this is too
_loading = threading.Lock()  # errors that are seen while it is held belong to the holder


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _on_log(level: int, text: bytes, _data: object) -> None:
    """Called by llama.cpp from any thread; without it everything goes to stderr."""
    line = text.decode("utf-8", "replace").strip()
    if level == _ERROR_LEVEL and line:
        _errors.append(line)
        logger.error("%s", line)
    elif level != _CONTINUED_LEVEL and line:
        logger.debug("%s", line)


llama_cpp.llama_log_set(_on_log, ctypes.c_void_p(0))


class Model:
    """Weights and vocabulary of one GGUF file."""

    def __init__(self, path: Path, *, vocabulary_only: bool = False) -> None:
        """Load the file.

        Args:
            path: of the GGUF file.
            vocabulary_only: leave the weights where they are; then it can tokenise, and nothing else.

        Raises:
            ConfigError: llama.cpp cannot load it; the message says the file and llama.cpp's reason.
        """
        self.path = path
        with _loading:
            _errors.clear()
            params = llama_cpp.llama_model_default_params()
            params.vocab_only = vocabulary_only
            self.handle = llama_cpp.llama_model_load_from_file(str(path).encode(), params)
            reason = "; ".join(_errors) or "llama.cpp gives no reason"
        if not self.handle:
            raise ConfigError(f"{path}: llama.cpp cannot load it: {reason}")
        self.vocabulary = llama_cpp.llama_model_get_vocab(self.handle)
        self.num_vocabulary: int = llama_cpp.llama_vocab_n_tokens(self.vocabulary)
        self._end_tokens: list[int] | None = None
        self.context_tokens: int = llama_cpp.llama_model_n_ctx_train(self.handle)
        self.dim: int = llama_cpp.llama_model_n_embd_out(self.handle)
        # The state of a recurrent model is of its whole text: nothing of it can be shared or cut off.
        self.is_recurrent = bool(
            llama_cpp.llama_model_is_recurrent(self.handle) or llama_cpp.llama_model_is_hybrid(self.handle)
        )

    def metadata(self, key: str) -> str | None:
        """A value of the file's header as text."""
        size: int = llama_cpp.llama_model_meta_val_str(self.handle, key.encode(), None, 0)
        if size < 0:
            return None
        buffer = ctypes.create_string_buffer(size + 1)
        llama_cpp.llama_model_meta_val_str(self.handle, key.encode(), buffer, size + 1)
        return buffer.value.decode("utf-8", "replace")

    def chat_template(self) -> str | None:
        template = llama_cpp.llama_model_chat_template(self.handle, None)
        return template.decode("utf-8", "replace") if template else None

    def named_template(self, name: str) -> str | None:
        """A template beside the chat's, such as "rerank"; None: the file has none of that name."""
        template = llama_cpp.llama_model_chat_template(self.handle, name.encode())
        return template.decode("utf-8", "replace") if template else None

    @property
    def num_classes(self) -> int:
        """Numbers that a reranker gives for a pair."""
        return max(1, int(llama_cpp.llama_model_n_cls_out(self.handle)))

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> NDArray[np.int32]:
        """Token ids, (n,) int32.

        Args:
            text: what to cut into tokens.
            add_special: put the tokens around it that the model wants (BOS, [CLS] and [SEP], ...).
            parse_special: read `<|im_end|>` and the like in the text as the special tokens that they name.
        """
        raw = text.encode("utf-8", "replace")  # half a surrogate pair is no character: "?"
        room = len(raw) + 8  # a token a byte and the special ones are seldom too few
        while True:
            tokens = np.empty(room, dtype=np.int32)
            pointer = tokens.ctypes.data_as(ctypes.POINTER(llama_cpp.llama_token))
            num = llama_cpp.llama_tokenize(
                self.vocabulary, raw, len(raw), pointer, room, add_special, parse_special
            )
            if num >= 0:
                break
            if -num <= room:
                raise EngineFailed(
                    f"{self.path.name}: the tokenizer failed ({num}) on a text of {len(raw)} bytes"
                )
            room = -num
        return tokens[:num].copy()

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """The bytes that a token stands for; half of a character can be among them."""
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            num = llama_cpp.llama_token_to_piece(self.vocabulary, token, buffer, size, 0, special)
            if num >= 0:
                return buffer.raw[:num]
            size = -num

    def is_control(self, token: int) -> bool:
        """Whether it stands for no text: `piece` gives nothing for it unless special tokens are asked for."""
        return bool(llama_cpp.llama_vocab_is_control(self.vocabulary, token))

    def is_end(self, token: int) -> bool:
        return bool(llama_cpp.llama_vocab_is_eog(self.vocabulary, token))

    def end_tokens(self) -> list[int]:
        if self._end_tokens is None:  # it takes a look at every token
            self._end_tokens = [token for token in range(self.num_vocabulary) if self.is_end(token)]
        return self._end_tokens

    def bos_piece(self) -> str:
        return self._special_piece(llama_cpp.llama_vocab_bos(self.vocabulary))

    def eos_piece(self) -> str:
        return self._special_piece(llama_cpp.llama_vocab_eos(self.vocabulary))

    def adds_bos(self) -> bool:
        return bool(llama_cpp.llama_vocab_get_add_bos(self.vocabulary))

    def close(self) -> None:
        if self.handle:
            llama_cpp.llama_model_free(self.handle)
            self.handle = None

    def _special_piece(self, token: int) -> str:
        return self.piece(token, special=True).decode("utf-8", "replace") if token >= 0 else ""


class Context:
    """The working memory of a model: what a call of llama.cpp computes in."""

    def __init__(self, model: Model, num_threads: int, **settings: int | bool) -> None:
        """Open a context; `settings` are fields of llama_context_params.

        Raises:
            ConfigError: llama.cpp refuses the settings, or there is not enough memory.
        """
        params = llama_cpp.llama_context_default_params()
        # llama.cpp takes every CPU of the machine for batches unless it is told.
        params.n_threads = params.n_threads_batch = num_threads
        for name, value in settings.items():
            setattr(params, name, value)
        with _loading:
            _errors.clear()
            self.handle = llama_cpp.llama_init_from_model(model.handle, params)
            reason = "; ".join(_errors) or "llama.cpp gives no reason"
        if not self.handle:
            raise ConfigError(f"{model.path}: llama.cpp cannot make a context of it: {reason}")
        self._memory = llama_cpp.llama_get_memory(self.handle)
        self._dim = model.dim
        self._num_vocabulary = model.num_vocabulary
        self.pooling_type: int = llama_cpp.llama_pooling_type(self.handle)

    @property
    def has_memory(self) -> bool:
        """Whether it keeps keys and values: encoders do not, and cannot generate."""
        return bool(self._memory)

    def decode(self, batch: Batch) -> None:
        """Compute a batch.

        Raises:
            EngineFailed: llama.cpp could not.
        """
        status = llama_cpp.llama_decode(self.handle, batch.struct)
        if status:
            raise EngineFailed(f"llama.cpp failed on a batch with status {status}; its reason is in the log")

    def logits(self, row: int) -> NDArray[np.float32]:
        """What a token of the last batch says of the next one, (num_vocabulary,) float32: llama.cpp's own memory,
        until the next batch.

        Args:
            row: the token's place in the batch, which wanted an output.

        Raises:
            EngineFailed: they are no numbers, or all zero: whatever were sampled from them would be noise.
        """
        pointer = llama_cpp.llama_get_logits_ith(self.handle, row)
        if not pointer:
            raise EngineFailed(f"llama.cpp has no logits for token {row} of the batch")
        logits = np.ctypeslib.as_array(pointer, (self._num_vocabulary,))
        total = float(
            logits.sum()
        )  # one sum, because every token pays for it: NaN and infinity travel through it
        if not math.isfinite(total) or total == 0.0:
            raise EngineFailed(f"the model gave logits whose sum is {total}")
        return logits

    def embedding(self, sequence: int) -> NDArray[np.float32]:
        """The pooled vector of a sequence of the last batch, (dim,) float32, as the model gives it."""
        pointer = llama_cpp.llama_get_embeddings_seq(self.handle, sequence)
        if not pointer:
            raise EngineFailed(f"llama.cpp has no vector for sequence {sequence}")
        return np.ctypeslib.as_array(pointer, (self._dim,)).copy()

    def ranks(self, sequence: int, num_classes: int) -> NDArray[np.float32]:
        """What a reranker says of a sequence of the last batch, (num_classes,) float32."""
        pointer = llama_cpp.llama_get_embeddings_seq(self.handle, sequence)
        if not pointer:
            raise EngineFailed(f"llama.cpp has no score for sequence {sequence}")
        return np.ctypeslib.as_array(pointer, (num_classes,)).copy()

    def state(self, sequence: int) -> NDArray[np.uint8]:
        """See `slots.Memory`."""
        size: int = llama_cpp.llama_state_seq_get_size(self.handle, sequence)
        state = np.empty(size, dtype=np.uint8)
        num = llama_cpp.llama_state_seq_get_data(self.handle, _pointer(state, ctypes.c_uint8), size, sequence)
        if num != size:
            raise EngineFailed(f"llama.cpp gave {num} of {size} bytes of the state of sequence {sequence}")
        return state

    def restore(self, sequence: int, state: NDArray[np.uint8]) -> None:
        """See `slots.Memory`."""
        self.cut(sequence, 0)  # the state of an empty sequence would leave what is there
        size = state.nbytes
        num = llama_cpp.llama_state_seq_set_data(self.handle, _pointer(state, ctypes.c_uint8), size, sequence)
        if num != size:
            raise EngineFailed(f"llama.cpp took {num} of {size} bytes as the state of sequence {sequence}")

    def cut(self, sequence: int, num_tokens: int) -> None:
        """See `slots.Memory`."""
        if not llama_cpp.llama_memory_seq_rm(self._memory, sequence, num_tokens, -1):
            raise EngineFailed(f"llama.cpp cannot forget a part of sequence {sequence}")

    def num_tokens(self, sequence: int) -> int:
        """See `slots.Memory`."""
        last: int = llama_cpp.llama_memory_seq_pos_max(self._memory, sequence)  # -1: there is none
        return last + 1

    def forget(self) -> None:
        """Empty the cache of keys and values; an encoder has none."""
        if self._memory:
            llama_cpp.llama_memory_clear(self._memory, False)  # noqa: FBT003 (a C function)

    def close(self) -> None:
        if self.handle:
            llama_cpp.llama_free(self.handle)
            self.handle = None


class Batch:
    """Tokens for one call, in arrays that numpy fills and llama.cpp reads."""

    def __init__(self, max_tokens: int) -> None:
        self._tokens = np.zeros(max_tokens, dtype=np.int32)
        self._positions = np.zeros(max_tokens, dtype=np.int32)
        self._sequences = np.zeros(max_tokens, dtype=np.int32)
        self._wants_output = np.zeros(max_tokens, dtype=np.int8)
        self._num_sequences = np.ones(max_tokens, dtype=np.int32)  # every token is of one sequence
        # llama.cpp wants a pointer to each token's list of sequences: here, to its place in the array.
        start, step = self._sequences.ctypes.data, self._sequences.itemsize
        self._lists = start + step * np.arange(max_tokens, dtype=np.uintp)
        self.struct = llama_cpp.llama_batch(
            n_tokens=0,
            token=_pointer(self._tokens, ctypes.c_int32),
            embd=None,
            pos=_pointer(self._positions, ctypes.c_int32),
            n_seq_id=_pointer(self._num_sequences, ctypes.c_int32),
            seq_id=_pointer(self._lists, ctypes.POINTER(ctypes.c_int32)),
            logits=_pointer(self._wants_output, ctypes.c_int8),
        )

    @property
    def num_tokens(self) -> int:
        return int(self.struct.n_tokens)

    def clear(self) -> None:
        self.struct.n_tokens = 0

    def add(self, tokens: NDArray[np.int32], sequence: int, position: int, *, outputs: slice) -> None:
        """Append tokens of a sequence that follow `position` tokens of it; `outputs` of them give logits."""
        start = self.struct.n_tokens
        end = start + len(tokens)
        if end > len(self._tokens):
            # Past the end of the arrays is somebody else's memory.
            raise EngineFailed(f"a batch of {end} tokens for {len(self._tokens)} places")
        self._tokens[start:end] = tokens
        self._positions[start:end] = np.arange(position, position + len(tokens))
        self._sequences[start:end] = sequence
        self._wants_output[start:end] = 0
        self._wants_output[start:end][outputs] = 1
        self.struct.n_tokens = end


def _pointer(array: NDArray[Any], ctype: Any) -> Any:
    return array.ctypes.data_as(ctypes.POINTER(ctype))
