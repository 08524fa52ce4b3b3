"""The judge's scores to Langfuse, by its ingestion API, off the path of requests.

A bounded queue: what does not fit, or cannot be sent, is dropped and counted. https://api.reference.langfuse.com
(`POST /api/public/ingestion`, events of type `score-create`), read 2026-11.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import uuid
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime

import httpx

from configs.schema import LangfuseExporter
from serve_app.evaluation.base import Assessment
from serve_app.messages import JsonObject
from serve_app.telemetry.metrics import SCORES_DROPPED, Count
from serve_app.telemetry.spans import is_sampled, trace_id

logger = logging.getLogger("manta.tracing")

_EVERY_S = 1.0
_MAX_BATCH = 100
_MAX_WAITING = 1000
_TIMEOUT_S = 10.0
_LAST_TIMEOUT_S = 2.0


class LangfuseScores:
    """Sends scores of a sample of the traces.

    Args:
        client: stands in for one of its own.
    """

    def __init__(
        self,
        config: LangfuseExporter,
        authorization: str,
        count: Count,
        client: httpx.AsyncClient | None = None,
        every_s: float = _EVERY_S,
    ) -> None:
        self._url = f"{config.base_url.rstrip('/')}/api/public/ingestion"
        self._ratio = config.scores_ratio
        self._headers = {"authorization": authorization}
        self._count = count
        self._client = client or httpx.AsyncClient(timeout=_TIMEOUT_S, trust_env=False)
        self._every_s = every_s
        self._waiting: deque[JsonObject] = deque()
        self._task = asyncio.create_task(self._run())

    def offer(self, traceparent: str | None, assessment: Assessment) -> None:
        """Take what is known of the scores, if the trace is one of the sample. Never waits and never raises."""
        if traceparent is None or not is_sampled(traceparent) or not self._is_chosen(trace_id(traceparent)):
            return
        for metric in assessment.scores:
            value = assessment.value(metric)
            if value is None:
                continue  # unknown is no score
            if len(self._waiting) >= _MAX_WAITING:
                self._count(SCORES_DROPPED, reason="queue_full")
            else:
                self._waiting.append(_event(trace_id(traceparent), str(metric), value, assessment.judge))

    async def close(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_TIMEOUT_S):
                await self._send_all()
        await self._client.aclose()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            await self._send_all()

    async def _send_all(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _MAX_BATCH))]
            await self._send(batch)

    async def _send(self, batch: list[JsonObject]) -> None:
        """Once: a score is not worth a second try."""
        try:
            response = await self._client.post(self._url, json={"batch": batch}, headers=self._headers)
            response.raise_for_status()
            errors = response.json().get("errors", []) if response.status_code == 207 else []
        except (httpx.HTTPError, ValueError, AttributeError) as exc:
            logger.warning("%d scores were not sent: %s", len(batch), exc.__class__.__name__)
            self._count(SCORES_DROPPED, len(batch), reason="send_failed")
            return
        if errors:
            logger.warning("Langfuse refused %d scores", len(errors))
            self._count(SCORES_DROPPED, len(errors), reason="refused")

    def _is_chosen(self, trace: str) -> bool:
        """By the trace's id, so that all scores of a trace are sent or none."""
        return int(trace[-16:], 16) < self._ratio * 2**64


def _event(trace: str, name: str, value: float, judge: str) -> JsonObject:
    # The same id for the same metric of a trace: the judge's last word replaces those before it.
    score_id = hashlib.sha256(f"{trace}:{name}".encode()).hexdigest()[:32]
    return {
        "id": uuid.uuid4().hex,
        "type": "score-create",
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "body": {
            "id": score_id,
            "traceId": trace,
            "name": name,
            "value": value,
            "dataType": "NUMERIC",
            "comment": f"judge: {judge}",
        },
    }
