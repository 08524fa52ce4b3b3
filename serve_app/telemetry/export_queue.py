"""What lies between a span's end and its export: a bounded queue, a thread, and a count of what got lost.

The SDK's own batch processor drops silently. Whatever an exporter does, a request never waits for it and never fails
because of it.
"""

from __future__ import annotations

import logging
import threading
from collections import deque

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from serve_app.telemetry.metrics import SPANS_DROPPED, Count

logger = logging.getLogger("manta.tracing")

_MAX_BATCH = 512


class ExportQueue(SpanProcessor):
    """A SpanProcessor for one exporter."""

    def __init__(self, exporter: SpanExporter, max_spans: int, every_s: float, count: Count) -> None:
        self._exporter = exporter
        self._max_spans = max_spans
        self._every_s = every_s
        self._count = count
        self._waiting: deque[ReadableSpan] = deque()
        self._is_urgent = threading.Event()  # a batch is full, or the end
        self._is_closing = False
        self._is_warned = False
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
        self._thread.start()

    def on_end(self, span: ReadableSpan) -> None:
        if self._is_closing or len(self._waiting) >= self._max_spans:
            self._count(SPANS_DROPPED, reason="queue_full")
            return
        self._waiting.append(span)
        if len(self._waiting) >= _MAX_BATCH:
            self._is_urgent.set()

    def close(self, seconds: float) -> None:
        """Export what waits, for at most so many seconds. Closing twice is fine."""
        self._is_closing = True
        self._is_urgent.set()
        self._thread.join(seconds)
        self._exporter.shutdown()  # ends an export that hangs, and its pauses between tries
        self._thread.join(seconds)

    def _run(self) -> None:
        while not self._is_closing:
            self._is_urgent.wait(self._every_s)
            self._is_urgent.clear()
            self._export_all()
        self._export_all()  # what came before the end

    def _export_all(self) -> None:
        while self._waiting:
            self._export()

    def _export(self) -> None:
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _MAX_BATCH))]
        try:
            is_done = self._exporter.export(batch) is SpanExportResult.SUCCESS
        except Exception:  # the thread's outermost edge: an exporter's fault must not end it
            logger.exception("spans were not exported")
            is_done = False
        if not is_done:
            self._count(SPANS_DROPPED, len(batch), reason="export_failed")
        if is_done is self._is_warned:  # tell each change once
            self._is_warned = not is_done
            state = "are exported again" if is_done else "cannot be exported; requests go on without them"
            logger.warning("spans %s", state)
