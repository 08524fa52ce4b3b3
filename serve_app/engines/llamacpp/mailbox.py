"""From an engine's thread to the one task that waits for its text.

Text that the reader has not fetched yet is joined, so a slow reader holds one piece of text, never a
queue of them, and never holds up the engine.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from functools import partial

from serve_app.engines.base import TextChunk
from serve_app.engines.llamacpp.thread import call_in
from serve_app.errors import MantaError


class Wakes:
    """Wake-ups of readers, collected by the thread that writes and sent all at once.

    A reader that is awake wants the interpreter whenever the writer lets go of it, which is at each call of
    llama.cpp, and has it for up to 5 ms then. So readers sleep until the writer has nothing more to do but to compute.
    """

    def __init__(self) -> None:
        self._due: dict[asyncio.AbstractEventLoop, list[asyncio.Event]] = {}

    def add(self, loop: asyncio.AbstractEventLoop, news: asyncio.Event) -> None:
        self._due.setdefault(loop, []).append(news)

    def send(self) -> None:
        """Wake them up: one message for each loop."""
        due, self._due = self._due, {}
        for loop, news in due.items():
            call_in(loop, partial(_set_all, news))


def _set_all(events: Sequence[asyncio.Event]) -> None:
    for event in events:
        event.set()


class Mailbox:
    """One stream of chunks. Made on the reader's loop; written from another thread.

    Args:
        wakes: of the thread that writes, which sends them; None: each wake-up is sent at once.
    """

    def __init__(self, wakes: Wakes | None = None) -> None:
        self._wakes = wakes
        self._loop = asyncio.get_running_loop()
        self._has_news = asyncio.Event()
        self._lock = threading.Lock()
        self._pending: TextChunk | None = None
        self._error: MantaError | None = None

    def put(self, chunk: TextChunk) -> None:
        with self._lock:
            is_first = self._pending is None
            self._pending = chunk if is_first else _joined(self._pending, chunk)
        if not is_first:
            return
        if self._wakes is None:
            call_in(self._loop, self._has_news.set)
        else:
            self._wakes.add(self._loop, self._has_news)

    def fail(self, error: MantaError) -> None:
        """End the stream with an error, after the text that came before it."""
        with self._lock:
            self._error = error
        call_in(self._loop, self._has_news.set)

    async def chunks(self) -> AsyncGenerator[TextChunk]:
        """What was put, in order; ends after a chunk with a finish reason."""
        while True:
            await self._has_news.wait()
            self._has_news.clear()
            with self._lock:
                chunk, self._pending = self._pending, None
            if chunk is not None:
                yield chunk
                if chunk.finish_reason is not None:
                    return
            error = self._error
            if error is not None and self._pending is None:
                self._error = None  # once raised, its traceback has this frame
                try:
                    raise error
                finally:
                    del error


def _joined(before: TextChunk | None, after: TextChunk) -> TextChunk:
    if before is None:
        return after
    return replace(after, text=before.text + after.text, logprobs=before.logprobs + after.logprobs)
