from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from configs.schema import LangfuseExporter
from serve_app.evaluation.base import Assessment, Metric, Score
from serve_app.telemetry.metrics import Metric as Counted
from serve_app.telemetry.scores import LangfuseScores

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"
ASSESSMENT = Assessment(
    "judge", {Metric.FAITHFULNESS: Score(0.9), Metric.ANSWER_RELEVANCY: Score(None, "a text of the user's")}
)


class Langfuse:
    def __init__(self) -> None:
        self.batches: list[list[dict]] = []
        self.answer = httpx.Response(207, json={"successes": [], "errors": []})
        self.lost: list[tuple[float, str]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.batches.append(json.loads(request.content)["batch"])
        return self.answer

    def count(self, metric: Counted, amount: float = 1.0, **labels: str) -> None:
        self.lost.append((amount, labels["reason"]))


@pytest.fixture
def langfuse() -> Langfuse:
    return Langfuse()


@pytest.fixture
async def scores(langfuse: Langfuse) -> AsyncIterator[Callable[..., LangfuseScores]]:
    made: list[LangfuseScores] = []

    def make(ratio: float = 1.0) -> LangfuseScores:
        config = LangfuseExporter(kind="langfuse", base_url="http://langfuse/", scores_ratio=ratio)
        client = httpx.AsyncClient(transport=httpx.MockTransport(langfuse))
        made.append(LangfuseScores(config, "Basic x", langfuse.count, client, every_s=3600.0))
        return made[-1]

    yield make
    for one in made:
        await one.close()


async def test_known_scores_are_sent_and_unknown_ones_are_not(
    langfuse: Langfuse, scores: Callable[..., LangfuseScores]
) -> None:
    one = scores()
    one.offer(PARENT, ASSESSMENT)
    one.offer(PARENT, ASSESSMENT)
    await one.close()
    ((first, again),) = langfuse.batches
    assert first["type"] == "score-create"
    body = first["body"]
    assert (body["traceId"], body["name"], body["value"]) == (TRACE, "faithfulness", 0.9)
    assert again["body"]["id"] == body["id"]
    assert again["id"] != first["id"]
    assert "user" not in json.dumps(langfuse.batches)
    assert langfuse.lost == []


@pytest.mark.parametrize("traceparent", [None, PARENT[:-2] + "00"])
async def test_what_is_not_traced_has_no_scores(
    langfuse: Langfuse, scores: Callable[..., LangfuseScores], traceparent: str | None
) -> None:
    one = scores()
    one.offer(traceparent, ASSESSMENT)
    await one.close()
    assert langfuse.batches == []


async def test_the_sample_is_by_trace(langfuse: Langfuse, scores: Callable[..., LangfuseScores]) -> None:
    one = scores(0.5)
    for number in range(200):
        trace = f"{number:016x}{(number * 2**64 // 200):016x}"
        one.offer(f"00-{trace}-b7ad6b7169203331-01", ASSESSMENT)
    await one.close()
    assert sum(len(batch) for batch in langfuse.batches) == 100
    assert max(len(batch) for batch in langfuse.batches) <= 100


@pytest.mark.parametrize(
    ("answer", "lost"),
    [
        (httpx.Response(500), [(1, "send_failed")]),
        (httpx.Response(401), [(1, "send_failed")]),
        (httpx.Response(207, text="no json"), [(1, "send_failed")]),
        (httpx.Response(207, json={"errors": [{"id": "x"}]}), [(1, "refused")]),
    ],
)
async def test_what_is_lost_is_counted(
    langfuse: Langfuse,
    scores: Callable[..., LangfuseScores],
    answer: httpx.Response,
    lost: list[tuple[float, str]],
) -> None:
    langfuse.answer = answer
    one = scores()
    one.offer(PARENT, ASSESSMENT)
    await one.close()
    assert langfuse.lost == lost


async def test_the_queue_is_bounded(langfuse: Langfuse, scores: Callable[..., LangfuseScores]) -> None:
    one = scores()
    for _ in range(1003):
        one.offer(PARENT, ASSESSMENT)
    assert langfuse.lost == [(1.0, "queue_full")] * 3
