"""From an engine's thread to the one task that waits for its text.

Text that the reader has not fetched yet is joined, so a slow reader holds one piece of text, never a
queue of them, and never holds up the engine.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from dataclasses import replace

from serve_app.engines.base import TextChunk
from serve_app.engines.llamacpp.thread import call_in
from serve_app.errors import MantaError


class Mailbox:
    """One stream of chunks. Made on the reader's loop; written from another thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._has_news = asyncio.Event()
        self._lock = threading.Lock()
        self._pending: TextChunk | None = None
        self._error: MantaError | None = None

    def put(self, chunk: TextChunk) -> None:
        with self._lock:
            is_first = self._pending is None
            self._pending = chunk if is_first else _joined(self._pending, chunk)
        if is_first:
            call_in(self._loop, self._has_news.set)

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
            if self._error is not None and self._pending is None:
                raise self._error


def _joined(before: TextChunk | None, after: TextChunk) -> TextChunk:
    if before is None:
        return after
    return replace(after, text=before.text + after.text, logprobs=before.logprobs + after.logprobs)
