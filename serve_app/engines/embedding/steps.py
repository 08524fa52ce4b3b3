"""What an embedder's thread does: take a window of everybody's texts, encode it step by step, answer.

Knows nothing of how vectors are computed.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from serve_app.engines.embedding.base import Encoder, Tokens
from serve_app.engines.embedding.lanes import Lanes
from serve_app.engines.embedding.windows import take_window
from serve_app.engines.llamacpp.thread import call_in
from serve_app.errors import DeadlineExceeded, EngineFailed, MantaError
from serve_app.health.failures import FailuresInRow
from serve_app.health.progress import Progress
from serve_app.messages import Deadline, Vectors


@dataclass(eq=False, slots=True)
class Request:
    """Texts of one caller on their way through the engine."""

    tokens: list[Tokens]
    vectors: Vectors  # (n, dim) float32, filled row by row
    deadline: Deadline
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[None]
    lengths: list[int] = field(init=False)
    num_taken: int = 0  # texts that went into a step, from the front
    num_done: int = 0  # texts that have their vector
    is_over: bool = False  # set by whoever is first: the caller who left, or the engine

    def __post_init__(self) -> None:
        self.lengths = [len(tokens) for tokens in self.tokens]

    def fail(self, error: MantaError) -> None:
        self.is_over = True
        call_in(self.loop, lambda: None if self.future.done() else self.future.set_exception(error))

    def finish(self) -> None:
        self.is_over = True
        call_in(self.loop, lambda: None if self.future.done() else self.future.set_result(None))


class Steps:
    """The work of an `EngineThread`."""

    def __init__(
        self,
        lanes: Lanes,
        window_tokens: int,
        progress: Progress,
        failures: FailuresInRow,
        finished: Callable[[Vectors], Vectors] | None = None,
    ) -> None:
        """`finished` makes of the encoder's vector what is answered, or raises EngineFailed; None: its direction."""
        self._finished = finished or _normalised
        self._lanes = lanes
        self._answering = threading.Lock()  # lanes end their steps at any time
        self._window_tokens = window_tokens
        self._progress = progress
        self._failures = failures

    def work(self, waiting: list[Request]) -> None:
        """Encode one window of the waiting requests' texts; whoever is done is answered and removed."""
        _drop_expired(waiting)
        # No window has more texts than tokens, so no more of a long request need be looked at.
        ahead = [r.lengths[r.num_taken : r.num_taken + self._window_tokens] for r in waiting]
        window: list[tuple[Request, int]] = []
        for request, count in zip(waiting, take_window(ahead, self._window_tokens), strict=True):
            window += [(request, request.num_taken + offset) for offset in range(count)]
            request.num_taken += count
        steps = self._lanes.plan([request.lengths[index] for request, index in window])
        self._lanes.run([[window[at] for at in step] for step in steps], self._run)
        _drop_expired(waiting)

    def _run(self, encoder: Encoder, texts: list[tuple[Request, int]]) -> None:
        self._progress.begin()
        wanted = [(request, index) for request, index in texts if not request.is_over]
        if not wanted:
            return
        try:
            vectors = encoder.encode([request.tokens[index] for request, index in wanted])
        except EngineFailed as exc:
            with self._answering:
                self._failures.failed(exc.message)
                for request, _ in wanted:
                    request.fail(exc)
            return
        with self._answering:
            for vector, (request, index) in zip(vectors, wanted, strict=True):
                try:
                    request.vectors[index] = self._finished(vector)
                except EngineFailed as exc:
                    # The others of the step may be as good as ever.
                    self._failures.failed(exc.message)
                    request.fail(exc)
                else:
                    self._failures.succeeded()
                    request.num_done += 1
                    if request.num_done == len(request.lengths) and not request.is_over:
                        request.finish()


def _drop_expired(waiting: list[Request]) -> None:
    for request in waiting:
        if not request.is_over and request.deadline.remaining_s() <= 0:
            request.fail(DeadlineExceeded("the request's time was over at: embed queue", "embed"))
    waiting[:] = [request for request in waiting if not request.is_over]


def _normalised(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """Raises EngineFailed rather than give a vector that would poison an index."""
    norm = float(np.linalg.norm(vector.astype(np.float64)))
    if not np.isfinite(norm) or norm == 0.0:
        raise EngineFailed(f"the model gave a vector of norm {norm}")
    return (vector / np.float32(norm)).astype(np.float32)
