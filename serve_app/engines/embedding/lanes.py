"""How the steps of a window share an engine's threads: side by side, one thread each, where there are enough of them.

The threads of one step meet at the end of each of its hundreds of operators, and whoever comes first waits: for a
smaller share of the work done worse, and for as long as another process has the CPU of the last one. Steps that run
side by side do not meet at all. A lone step has all threads, because its caller waits for nothing else.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from serve_app.engines.embedding.base import Encoder

# Of the longest text: for a step of that size each lane's encoder reserves memory.
MAX_LANE_TOKENS = 1024

Step = TypeVar("Step")


class Lanes:
    """One model's encoders. Belongs to one thread, which closes them too; a lane has a thread of its own beside it.

    Args:
        wide: has all threads of the engine.
        lanes: one for each of these threads, with one thread. None of one thread only: `wide` is that.
    """

    def __init__(self, wide: Encoder, lanes: Sequence[Encoder] = ()) -> None:
        self._wide = wide
        self._lanes = lanes
        self._outcomes: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()  # one a lane and run
        self._inboxes: list[queue.SimpleQueue[Callable[[], None] | None]] = [
            queue.SimpleQueue() for _ in lanes[1:]
        ]
        for inbox in self._inboxes:
            # A lane that hangs must not keep the process from ending.
            threading.Thread(target=_do_all, args=(inbox,), name="lane", daemon=True).start()

    @classmethod
    def of(cls, open_with: Callable[[int], Encoder], num_threads: int) -> Lanes:
        """Lanes with an encoder each; none where texts may be so long that each would need much memory.

        Args:
            open_with: opens an encoder that has so many threads.
            num_threads: of the engine.
        """
        wide = open_with(num_threads)
        if num_threads == 1 or wide.max_tokens > MAX_LANE_TOKENS:
            return cls(wide)
        return cls(wide, [open_with(1) for _ in range(num_threads)])

    @property
    def dim(self) -> int:
        return self._wide.dim

    def plan(self, lengths: Sequence[int]) -> list[list[int]]:
        """Which of the texts go through the model together: their indices, a list a step."""
        return self._wide.plan(lengths, max(1, len(self._lanes)))

    def run(self, steps: Sequence[Step], work: Callable[[Encoder, Step], None]) -> None:
        """Do `work` for each step, with the encoder that it is given; several at once.

        Raises:
            What `work` raises; of several the first. Steps that nobody had begun are left out then.
        """
        if not self._lanes or len(steps) < len(self._lanes):
            for step in steps:
                work(self._wide, step)
            return
        todo = deque(steps)
        for inbox, encoder in zip(self._inboxes, self._lanes[1:], strict=True):
            inbox.put(partial(self._drain, encoder, todo, work))
        self._drain(self._lanes[0], todo, work)
        errors = [self._outcomes.get() for _ in self._lanes]
        for error in errors:
            if error is not None:
                raise error

    def close(self) -> None:
        for inbox in self._inboxes:
            inbox.put(None)
        for encoder in {self._wide, *self._lanes}:  # lanes may share one
            encoder.close()

    def _drain(self, encoder: Encoder, todo: deque[Step], work: Callable[[Encoder, Step], None]) -> None:
        try:
            while todo:
                try:
                    step = todo.popleft()
                except IndexError:  # another lane was quicker
                    break
                work(encoder, step)
        except BaseException as exc:  # noqa: BLE001 (raised by who runs all lanes)
            todo.clear()
            self._outcomes.put(exc)
        else:
            self._outcomes.put(None)


def _do_all(inbox: queue.SimpleQueue[Callable[[], None] | None]) -> None:
    while (job := inbox.get()) is not None:
        job()
