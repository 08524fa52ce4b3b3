"""Values as the bytes of a stream: what a search found, vectors, scores.

MessagePack, read by the type that both sides know: what comes by the channel is never unpickled. Arrays keep their
dtype and shape; one that was read cannot be written to.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Annotated, Any, Generic, TypeVar

import msgspec
import numpy as np

T = TypeVar("T")

# Of a value, in one message: far below what a stream may have on the way, so that others go on between two.
_PIECE_BYTES = 64 << 10


class Values(Generic[T]):
    """Reads values of one type: a dataclass of messages."""

    def __init__(self, kind: type[T]) -> None:
        self._decoder = msgspec.msgpack.Decoder(kind, dec_hook=_read)

    def decode(self, document: bytes) -> T:
        """Raises ValueError: it is not such a value."""
        try:
            return self._decoder.decode(document)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            raise ValueError(str(exc)) from exc


def encode(value: object) -> bytes:
    """For the other side's `decode`. Raises TypeError, ValueError: it cannot be written so."""
    return _encoder.encode(value)


def values_of(work: Callable[..., Awaitable[object]]) -> Callable[..., AsyncIterator[bytes]]:
    """What makes a stream of the one value that `work` makes."""

    async def stream(*args: Any) -> AsyncIterator[bytes]:
        for piece in in_pieces(encode(await work(*args))):
            yield piece

    return stream


def in_pieces(document: bytes) -> Iterator[bytes]:
    """A document as messages of a stream."""
    for start in range(0, len(document), _PIECE_BYTES):
        yield document[start : start + _PIECE_BYTES]


# --------


class _Array(msgspec.Struct, array_like=True):
    dtype: str
    shape: tuple[Annotated[int, msgspec.Meta(ge=0)], ...]
    data: bytes


def _write(value: object) -> _Array:
    if not isinstance(value, np.ndarray) or value.dtype.hasobject:
        raise TypeError(f"{type(value).__name__} does not travel")
    return _Array(value.dtype.str, value.shape, value.tobytes())


def _read(_: type, written: object) -> np.ndarray[Any, Any]:
    """Raises ValueError, TypeError: no array, which the decoder tells with the place where it stands."""
    array = msgspec.convert(written, _Array)
    dtype = np.dtype(array.dtype)
    if dtype.hasobject:
        raise ValueError(f"arrays of {array.dtype} do not travel")
    return np.frombuffer(array.data, dtype=dtype).reshape(array.shape)


_encoder = msgspec.msgpack.Encoder(enc_hook=_write)
