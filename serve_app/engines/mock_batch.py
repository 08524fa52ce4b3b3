"""The mock's steps when it batches as real engines do: all sequences share the engine's time.

A step gives every running sequence one token and reads a chunk of the oldest waiting prompts; all tokens
of a step come at its end. A long prompt therefore delays everybody's next token, and a sequence that
comes during a step waits for the next. Knows nothing of text.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable

from configs.schema import MockModel
from serve_app.errors import EngineFailed
from serve_app.health.progress import Progress


class Sequence:
    """One sequence in the batch."""

    def __init__(self, num_prompt: int, num_output: int) -> None:
        self.num_unread = num_prompt  # tokens of the prompt that no step has read yet
        self.num_left = num_output  # tokens that no step has made yet
        self.num_ready = 0  # tokens that were made and not taken yet
        self._has_news = asyncio.Event()

    async def next_token(self) -> None:
        """Return when the next token has been made."""
        while not self.num_ready:
            self._has_news.clear()
            await self._has_news.wait()
        self.num_ready -= 1

    def advance(self) -> None:
        self.num_left -= 1
        self.num_ready += 1
        self._has_news.set()


class Batch:
    """The sequences of one engine and its steps.

    Args:
        clock: seconds; `sleep` waits on the same clock.
    """

    def __init__(
        self,
        config: MockModel,
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._config = config
        self._clock = clock
        self._sleep = sleep
        self._rng = random.Random(config.seed)  # noqa: S311 (jitter, no secret)
        self._reading: deque[Sequence] = deque()
        self._running: list[Sequence] = []
        self._stepping: asyncio.Task[None] | None = None
        self._progress = Progress(config.name, config.scaling.health.max_step_s, clock)

    def join(self, num_prompt: int, num_output: int) -> Sequence:
        sequence = Sequence(num_prompt, num_output)
        self._reading.append(sequence)
        if self._stepping is None or self._stepping.done():
            self._stepping = asyncio.create_task(self._step_while_needed())
        return sequence

    def leave(self, sequence: Sequence) -> None:
        """Take a sequence out, wherever it is; one that is out already is fine."""
        if sequence in self._reading:
            self._reading.remove(sequence)
        if sequence in self._running:
            self._running.remove(sequence)

    def check(self) -> None:
        """Raise EngineFailed if the steps died or hang."""
        if self._stepping is not None and self._stepping.done() and not self._stepping.cancelled():
            failure = self._stepping.exception()
            if failure is not None:
                raise EngineFailed(f"the steps of {self._config.name} died: {failure!r}") from failure
        self._progress.check()

    async def close(self) -> None:
        if self._stepping is not None:
            self._stepping.cancel()
            await asyncio.gather(self._stepping, return_exceptions=True)

    async def _step_while_needed(self) -> None:
        due = self._clock()
        while self._reading or self._running:
            self._progress.begin()
            num_read = self._read_prompts()
            due += self._seconds(len(self._running), num_read)
            await self._sleep(max(0.0, due - self._clock()))
            self._end_step()
        self._progress.rest()

    def _read_prompts(self) -> int:
        """Tokens of prompts that fit into the next step beside one of each running sequence."""
        room = max(0, self._config.max_batched_tokens - len(self._running))
        num_read = 0
        for sequence in self._reading:
            chunk = min(sequence.num_unread, room - num_read)
            sequence.num_unread -= chunk
            num_read += chunk
        return num_read

    def _end_step(self) -> None:
        for sequence in self._running:
            sequence.advance()
        while self._reading and not self._reading[0].num_unread:
            first = self._reading.popleft()
            first.advance()  # the step that reads the end of a prompt makes its first token
            self._running.append(first)
        self._running = [sequence for sequence in self._running if sequence.num_left]

    def _seconds(self, num_running: int, num_read: int) -> float:
        config = self._config
        micros = config.tpot_us_per_running * num_running + config.prefill_us_per_token * num_read
        spread = config.jitter * (2.0 * self._rng.random() - 1.0)
        return (config.tpot_ms * 1e3 + micros) * (1.0 + spread) / 1e6
